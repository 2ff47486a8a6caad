"""Header lines, read strictly and sorted by how far they may travel."""

from __future__ import annotations

import re
from enum import IntEnum

import msgspec

from byline.gateway.http1.errors import ProtocolError
from byline.identity.claims import CLAIM_HEADERS

# RFC 9110 section 5: token ":" OWS field-value OWS. No space before the colon, no obs-fold, no
# control characters but tab: each of them is read differently by some parser.
_LINE = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([\t\x20-\x7e\x80-\xff]*)", re.DOTALL)


class Travel(IntEnum):
    """How far a client's header line may go."""

    UPSTREAM = 0
    """End to end: sent on as it came."""
    NEVER = 1
    """Cookies, forwarding and proxy identity: meant for us or for nobody."""
    FRAMING = 2
    """Hop by hop, or rebuilt by us: host, lengths, encodings, connection options."""
    CREDENTIAL = 3
    OWN_CREDENTIAL_ONLY = 4
    """Chooses who pays or who is named: travels with the client's own credential, or where allowed."""
    TRACE = 5
    """Trace context: only where the provider entry says so."""


_FRAMING = frozenset(
    {
        b"accept-encoding", b"connection", b"content-encoding", b"content-length", b"expect", b"host",
        b"keep-alive", b"proxy-connection", b"te", b"trailer", b"transfer-encoding", b"upgrade",
    }
)  # fmt: skip
_CREDENTIALS = frozenset({b"authorization", b"x-api-key", b"x-byline-key", b"proxy-authorization"})
_NEVER = frozenset(
    {
        b"cookie", b"forwarded", b"via", b"x-real-ip", b"x-litellm-end-user-id", b"x-claude-gateway-user-id",
        b"x-claude-gateway-user-email", b"x-remote-user", b"remote-user", b"x-client-ip", b"true-client-ip",
    }
)  # fmt: skip
_NEVER_PREFIXES = (b"x-byline-", b"x-forwarded-", b"x-auth-request-")
_OWN_CREDENTIAL_ONLY = frozenset(
    {b"openai-organization", b"openai-project", b"anthropic-workspace-id", b"openai-safety-identifier"}
)
# Read by the gateway itself, though they travel on.
_READ = CLAIM_HEADERS | {b"user-agent", b"x-stainless-retry-count"}
# Decides where the body ends and what becomes of the connection; the rest of FRAMING is only replaced.
_DECIDES_FRAMING = frozenset(
    {
        b"connection", b"content-encoding", b"content-length", b"expect", b"host", b"transfer-encoding",
        b"upgrade",
    }
)  # fmt: skip
_TRACE = frozenset({b"traceparent", b"tracestate", b"baggage"})


class Field(msgspec.Struct, frozen=True, gc=False):
    """One header line. `line` is what came, without its line end."""

    name: bytes
    """Lower case."""
    value: bytes
    line: bytes
    travel: int
    is_read: bool
    """Means something to the gateway, beyond being passed on or not."""


def read_field(line: bytes, identity_headers: frozenset[bytes] = frozenset()) -> Field:
    """Raises ProtocolError(400) for a line that is not strictly `name: value`.

    `identity_headers`: lower-case names by which a trusted proxy names the user.
    """
    match = _LINE.fullmatch(line)
    if match is None:
        raise ProtocolError(400, "malformed header line")
    name = match[1].lower()
    travel = Travel.NEVER if name in identity_headers else _travel(name)
    is_read = name in _DECIDES_FRAMING if travel == Travel.FRAMING else bool(travel) or name in _READ
    return Field(name, match[2].rstrip(b" \t"), line, travel, is_read)


def _travel(name: bytes) -> Travel:
    if name in _CREDENTIALS:
        return Travel.CREDENTIAL
    if name in _FRAMING:
        return Travel.FRAMING
    if name in _NEVER or name.startswith(_NEVER_PREFIXES):
        return Travel.NEVER
    if name in _OWN_CREDENTIAL_ONLY:
        return Travel.OWN_CREDENTIAL_ONLY
    return Travel.TRACE if name in _TRACE else Travel.UPSTREAM
