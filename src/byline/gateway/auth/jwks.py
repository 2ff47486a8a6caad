"""The signing keys of a token issuer: parsed from a JWKS, and kept fresh without blocking the loop.

The last good set stays in use for as long as no newer one can be had.
"""

from __future__ import annotations

import asyncio
import ipaddress
import ssl
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import jwt
import msgspec

MAX_DOCUMENT_BYTES = 1024 * 1024
FETCH_TIMEOUT_S = 5.0
FETCH_DEADLINE_S = 15.0
MIN_REFETCH_INTERVAL_S = 5.0
"""Unknown key ids are free to send, so they may cause no more fetches than this."""

Fetch = Callable[[], bytes]
"""Blocking; raises OSError or ValueError."""


class JwksError(ValueError):
    """The document is no usable key set. Never quotes it."""


class KeySet:
    """Public keys for signatures. Symmetric keys in a JWKS are left out: whoever reads it could sign."""

    def __init__(self, jwks: list[dict[str, Any]]) -> None:
        self._jwks = [jwk for jwk in jwks if _is_for_signatures(jwk)]
        self._built: dict[tuple[str | None, str], jwt.PyJWK | None] = {}
        if not self._jwks:
            raise JwksError("the key set has no public signing key")

    def find(self, kid: str | None, algorithm: str) -> jwt.PyJWK | None:
        """None too where a token without `kid` could mean several keys."""
        candidates = [
            jwk
            for jwk in self._jwks
            if jwk.get("alg", algorithm) == algorithm and (kid is None or jwk.get("kid") == kid)
        ]
        keys = [key for jwk in candidates if (key := _build(jwk, algorithm)) is not None]
        return keys[0] if len(keys) == 1 else None


class SigningKeys:
    """The current key set of one issuer, fetched in a thread, by one fetch at a time."""

    def __init__(
        self, fetch: Fetch, *, refresh_interval_s: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._fetch = fetch
        self._refresh_interval_s = refresh_interval_s
        self._clock = clock
        self._document: bytes | None = None
        self._attempted_at: float | None = None
        self._refetched_at: float | None = None
        self._running: asyncio.Task[None] | None = None
        self.current: KeySet | None = None
        self.generation = 0
        """Rises whenever the set's content has changed."""
        self.problem: str | None = None

    def refresh_if_due(self) -> None:
        """Starts a fetch in the background once the interval has passed."""
        if self._attempted_at is None or self._clock() - self._attempted_at >= self._refresh_interval_s:
            self._start()

    def may_refetch(self) -> bool:
        """Asked when a token names an unknown key. True at most once per interval."""
        if self._running is not None:
            return True
        at = self._clock()
        if self._refetched_at is not None and at - self._refetched_at < MIN_REFETCH_INTERVAL_S:
            return False
        self._refetched_at = at
        return True

    async def refresh(self) -> None:
        """Returns when the fetch under way, or a new one, has ended, well or not."""
        # Shielded: whoever waits may hang up, the others still want the outcome.
        await asyncio.shield(self._start())

    async def close(self) -> None:
        if self._running is not None:
            self._running.cancel()
            await asyncio.gather(self._running, return_exceptions=True)

    def _start(self) -> asyncio.Task[None]:
        if self._running is None:
            self._attempted_at = self._clock()
            self._running = asyncio.get_running_loop().create_task(self._update(), name="jwks-fetch")
            self._running.add_done_callback(self._ended)
        return self._running

    def _ended(self, _task: asyncio.Task[None]) -> None:
        self._running = None

    async def _update(self) -> None:
        try:
            document = await asyncio.to_thread(self._fetch)
            if document != self._document:
                self.current = parse_key_set(document)
                self._document = document
                self.generation += 1
        except (OSError, ValueError) as error:
            self.problem = f"the signing keys can't be fetched ({type(error).__name__})"
        else:
            self.problem = None


def parse_key_set(document: bytes) -> KeySet:
    """Raises JwksError."""
    if len(document) > MAX_DOCUMENT_BYTES:
        raise JwksError(f"the key set is larger than {MAX_DOCUMENT_BYTES} bytes")
    try:
        return KeySet(_DOCUMENT.decode(document).keys)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise JwksError("the document is not a key set") from error


def file_fetch(path: Path) -> Fetch:
    def fetch() -> bytes:
        with path.open("rb") as file:
            return file.read(MAX_DOCUMENT_BYTES + 1)

    return fetch


def url_fetch(url: str, *, ca_file: str | None = None) -> Fetch:
    """Raises ValueError for a URL over which keys could be replaced on the way."""
    parts = urlsplit(url)
    loopback = _is_loopback(parts.hostname or "")
    if parts.scheme != "https" and not (parts.scheme == "http" and loopback):
        raise ValueError(f"jwks_url {url!r} must begin with https:// (http:// for this machine alone).")
    handlers: list[urllib.request.BaseHandler] = [
        _NoRedirect(),
        urllib.request.HTTPSHandler(context=ssl.create_default_context(cafile=ca_file)),
    ]
    if loopback:
        handlers.append(urllib.request.ProxyHandler({}))
    opener = urllib.request.build_opener(*handlers)
    request = urllib.request.Request(url, headers={"accept": "application/json"})  # noqa: S310 (checked above)

    def fetch() -> bytes:
        with opener.open(request, timeout=FETCH_TIMEOUT_S) as response:
            return _read_bounded(response)

    return fetch


class _Document(msgspec.Struct):
    keys: list[dict[str, Any]]


_DOCUMENT = msgspec.json.Decoder(_Document)


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirect could lead away from https; the operator can write the final address instead."""

    def redirect_request(self, *args: object, **kwargs: object) -> None:
        return None


def _read_bounded(response: Any) -> bytes:
    deadline = time.monotonic() + FETCH_DEADLINE_S
    received = bytearray()
    while chunk := response.read1(65_536):
        received += chunk
        if len(received) > MAX_DOCUMENT_BYTES:
            break  # parse_key_set says what is wrong with it
        if time.monotonic() > deadline:
            raise TimeoutError("the key set took too long to arrive")
    return bytes(received)


def _is_for_signatures(jwk: dict[str, Any]) -> bool:
    operations = jwk.get("key_ops")
    return (
        jwk.get("kty") in {"RSA", "EC", "OKP"}
        and jwk.get("use", "sig") == "sig"
        and (operations is None or (isinstance(operations, list) and "verify" in operations))
    )


def _build(jwk: dict[str, Any], algorithm: str) -> jwt.PyJWK | None:
    try:
        return jwt.PyJWK(jwk, algorithm)
    except jwt.PyJWTError:  # a key of another type than the algorithm's
        return None


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
