"""Finds the credentials in a request's headers, without judging them."""

from __future__ import annotations

from collections.abc import Sequence

from byline.control.keys import KEY_PATTERN, KEY_PREFIX
from byline.gateway.auth.admission import Header, Refusal

_MAX_TOKEN_BYTES = 16_384


_NAMES = frozenset((b"authorization", b"x-api-key", b"x-byline-key"))


class Credentials:
    """What was sent, as it was sent. A blank value is none: an SDK without a key sends such."""

    __slots__ = ("byline_key", "headers", "presented")

    def __init__(self) -> None:
        self.byline_key: bytes | None = None
        """The value of `X-Byline-Key`."""
        self.headers: list[Header] = []
        """`authorization` and `x-api-key`, as far as something stands in them."""
        self.presented: list[bytes] = []
        """What stands in those headers: the bearer token, or the value of another scheme."""


def read_credentials(headers: Sequence[Header]) -> Credentials | Refusal:
    sent = [header for header in headers if header[0] in _NAMES]
    found = Credentials()
    for header in sent:
        name, value = header
        if name == b"x-byline-key":
            found.byline_key = value
            continue
        token = bearer_token(value) if name == b"authorization" else value
        if token:
            found.headers.append(header)
            found.presented.append(token)
    if len(sent) > 1 and len({header[0] for header in sent}) < len(sent):
        return _repeated(sent)
    return found


def bearer_token(authorization: bytes) -> bytes:
    """The token after the scheme, which may be in any case; the whole value of another scheme."""
    scheme, _, token = authorization.partition(b" ")
    return token.strip() if scheme.lower() == b"bearer" else authorization


def is_byline_key(token: bytes) -> bool:
    return token.startswith(KEY_PREFIX)


def holds_byline_key(value: bytes) -> bool:
    """A whole key stands somewhere in it, whatever is around it."""
    return KEY_PREFIX in value and KEY_PATTERN.search(value) is not None


def looks_like_jwt(token: bytes) -> bool:
    """Three parts, of which the first begins as a JSON object in base64url does."""
    return token.startswith(b"eyJ") and token.count(b".") == 2 and len(token) <= _MAX_TOKEN_BYTES


def _repeated(sent: Sequence[Header]) -> Refusal:
    names = [header[0].decode("ascii") for header in sent]
    name = next(name for name in names if names.count(name) > 1)
    return Refusal(401, "repeated_credential", f"The header {name} was sent more than once. Send it once.")
