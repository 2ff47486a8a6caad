"""One bounded request: in time, in size, and to the address it was meant for."""

from __future__ import annotations

import ssl
import time
from http.client import HTTPException, HTTPResponse
from typing import Final, cast
from urllib import request
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit

import msgspec

from byline.flags.payload import MAX_BYTES
from byline.flags.sources.source import SourceError


class HttpOptions(msgspec.Struct, frozen=True):
    timeout_s: float = 10.0
    """For each wait, and for the answer as a whole once it has begun."""
    ca_file: str | None = None


class Answer(msgspec.Struct, frozen=True):
    body: bytes
    etag: str | None


NOT_MODIFIED: Final = 304


def checked_url(url: str) -> str:
    """Raises ValueError for what is no web address."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username:
        raise ValueError(f"{url!r} must be an address such as https://cdn.growthbook.io, without a user.")
    return url.rstrip("/")


def ask(
    url: str, options: HttpOptions, *, headers: dict[str, str], body: bytes | None = None
) -> Answer | None:
    """None: not modified. Raises SourceError."""
    host = urlsplit(url).hostname
    call = request.Request(url, data=body, headers=headers)  # noqa: S310 - `checked_url` has seen it
    try:
        with _opener(options).open(call, timeout=options.timeout_s) as response:
            found = cast("HTTPResponse", response)
            return Answer(_read_bounded(found, options.timeout_s), found.headers.get("etag"))
    except HTTPError as error:
        with error:
            if error.code == NOT_MODIFIED:
                return None
        raise SourceError(f"{host} answered {error.code}") from None
    except URLError as error:
        raise SourceError(f"{host} can't be reached ({_reason(error)})") from None
    except (OSError, HTTPException, ValueError) as error:
        raise SourceError(f"{host} did not answer properly ({type(error).__name__})") from None


class _NoRedirect(request.HTTPRedirectHandler):
    """A redirect could carry a key to another host; the final address can be set instead."""

    def redirect_request(self, *args: object, **kwargs: object) -> None:
        return None


def tls_context(options: HttpOptions) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=options.ca_file)


def is_loopback(host: str | None) -> bool:
    return host in ("127.0.0.1", "::1", "localhost")


def _opener(options: HttpOptions) -> request.OpenerDirector:
    return request.build_opener(
        _NoRedirect, _LoopbackAside, request.HTTPSHandler(context=tls_context(options))
    )


class _LoopbackAside(request.ProxyHandler):
    """The environment's proxies, but not for this machine itself."""

    def proxy_open(self, req: request.Request, proxy: str, type: str) -> object:  # noqa: A002 - urllib's name
        if is_loopback(urlsplit(req.full_url).hostname):
            return None
        return super().proxy_open(req, proxy, type)


def _read_bounded(response: HTTPResponse, timeout_s: float) -> bytes:
    deadline = time.monotonic() + timeout_s
    received = bytearray()
    while chunk := response.read1(65_536):
        received += chunk
        if len(received) > MAX_BYTES:
            raise SourceError(f"the answer is larger than {MAX_BYTES} bytes")
        if time.monotonic() > deadline:
            raise TimeoutError
    if response.length:
        raise SourceError("the answer was cut off")
    return bytes(received)


def _reason(error: URLError) -> str:
    return type(error.reason).__name__ if isinstance(error.reason, BaseException) else "no connection"
