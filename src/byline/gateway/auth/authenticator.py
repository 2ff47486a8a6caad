"""Who is calling: applies the rules of precedence over all sources of identity.

A Byline key counts before a token, a token before a trusted proxy's headers. `X-Byline-Key` leaves
`Authorization` and `x-api-key` to the client's own provider credential. Wherever the headers could
be read in two ways the request is refused: a guess would bill somebody else.
"""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from typing import Protocol

from byline.gateway.auth.admission import Admission, Answer, Header, Refusal, Verdict
from byline.gateway.auth.credentials import (
    Credentials,
    holds_byline_key,
    is_byline_key,
    looks_like_jwt,
    read_credentials,
)
from byline.identity.model import Grant

_NO_CREDENTIAL = Refusal(
    401,
    "no_credential",
    "No Byline key was sent. Send one as `Authorization: Bearer KEY` or as `x-api-key: KEY`.",
)
_FOREIGN_CREDENTIAL = Refusal(
    401,
    "no_credential",
    "The credential sent is no Byline key. Send a Byline key in its place, or add `X-Byline-Key: KEY`"
    " to use your own provider key.",
)
_MISPLACED_KEY = Refusal(
    401,
    "malformed_key",
    "A Byline key was sent in a form that is not understood."
    " Send it as `Authorization: Bearer KEY`, as `x-api-key: KEY` or as `X-Byline-Key: KEY`.",
)
_TWO_ACTORS = Refusal(
    401, "conflicting_credentials", "Credentials of two different users were sent. Send only one of them."
)
_TWO_PROVIDER_CREDENTIALS = Refusal(
    401,
    "conflicting_credentials",
    "Beside X-Byline-Key both `Authorization` and `x-api-key` were sent. Send only your one provider credential.",
)


class KeyVerifier(Protocol):
    def verify(self, presented: bytes) -> Verdict: ...


class TokenVerifier(Protocol):
    def verify(self, token: bytes) -> Verdict | Awaitable[Verdict]: ...
    def issued(self, token: bytes) -> bool: ...


class ProxyReader(Protocol):
    def identify(self, headers: Sequence[Header], peer_address: str) -> Verdict | None: ...


class Authenticator:
    def __init__(
        self, keys: KeyVerifier, *, tokens: TokenVerifier | None = None, proxy: ProxyReader | None = None
    ) -> None:
        self._keys = keys
        self._tokens = tokens
        self._proxy = proxy

    def authenticate(self, headers: Sequence[Header], peer_address: str) -> Answer:
        """`headers` have lower-case names. An awaitable only where a token's signing key must be fetched."""
        sent = read_credentials(headers)
        if isinstance(sent, Refusal):
            return sent
        if sent.byline_key is not None:
            return self._beside_provider_credential(sent, sent.byline_key)
        presented = sent.presented
        if len(presented) == 1 and is_byline_key(presented[0]):  # nearly every request
            return _admission(self._keys.verify(presented[0]))
        keys = [token for token in presented if is_byline_key(token)]
        if keys:
            return _admission(self._verify_keys(keys))
        if any(map(holds_byline_key, presented)):
            return _MISPLACED_KEY
        return self._without_key(headers, peer_address, presented)

    def _without_key(
        self, headers: Sequence[Header], peer_address: str, presented: Sequence[bytes]
    ) -> Answer:
        if self._tokens is not None:
            tokens = {token for token in presented if looks_like_jwt(token)}
            if tokens:
                return (
                    _TWO_ACTORS if len(tokens) > 1 else _admission_or_later(self._tokens.verify(tokens.pop()))
                )
        identified = self._proxy.identify(headers, peer_address) if self._proxy is not None else None
        if identified is not None:
            return _admission(identified)
        return _FOREIGN_CREDENTIAL if presented else _NO_CREDENTIAL

    def _beside_provider_credential(self, sent: Credentials, byline_key: bytes) -> Admission | Refusal:
        """With `X-Byline-Key`: whatever else is sent is the client's own, if it is nothing of ours."""
        keys = [byline_key]
        provider_credentials: list[Header] = []
        for header, token in zip(sent.headers, sent.presented, strict=True):
            if is_byline_key(token):
                keys.append(token)
            elif holds_byline_key(token):
                return _MISPLACED_KEY
            elif self._tokens is not None and looks_like_jwt(token) and self._tokens.issued(token):
                return _TWO_ACTORS
            else:
                provider_credentials.append(header)
        verdict = self._verify_keys(keys)
        if isinstance(verdict, Refusal):
            return verdict
        if len(provider_credentials) > 1:
            return _TWO_PROVIDER_CREDENTIALS
        return Admission(verdict, provider_credentials[0] if provider_credentials else None)

    def _verify_keys(self, keys: Sequence[bytes]) -> Verdict:
        """The first key's grant, if all are good and of the same actor."""
        first = self._keys.verify(keys[0])
        for further in keys[1:]:
            if isinstance(first, Refusal):
                return first
            verdict = self._keys.verify(further)
            if isinstance(verdict, Refusal):
                return verdict
            if verdict.actor.id != first.actor.id:
                return _TWO_ACTORS
        return first


def _admission(verdict: Verdict) -> Admission | Refusal:
    return Admission(verdict) if isinstance(verdict, Grant) else verdict


def _admission_or_later(verdict: Verdict | Awaitable[Verdict]) -> Answer:
    if isinstance(verdict, Grant | Refusal):
        return _admission(verdict)
    return _later(verdict)


async def _later(verdict: Awaitable[Verdict]) -> Admission | Refusal:
    return _admission(await verdict)
