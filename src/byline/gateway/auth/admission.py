"""The two answers of authentication."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Literal

import msgspec

from byline.identity.model import Grant

RefusalKind = Literal[
    "no_credential",
    "repeated_credential",
    "conflicting_credentials",
    "malformed_key",
    "unknown_key",
    "expired_key",
    "revoked_key",
    "keys_unavailable",
    "invalid_token",
    "expired_token",
    "unmapped_token",
    "tokens_unavailable",
    "invalid_proxy_header",
]
"""For counters and events: few, and free of anything a caller sent."""

Header = tuple[bytes, bytes]


class Refusal(msgspec.Struct, frozen=True):
    """`message` is for the caller: it names the remedy and nothing secret."""

    status: Literal[401, 403, 503]
    kind: RefusalKind
    message: str


class Admission(msgspec.Struct, frozen=True):
    grant: Grant
    client_credential: Header | None = None
    """The client's own provider credential, to be sent on unchanged; None means the gateway's is used."""

    def __repr__(self) -> str:
        return f"Admission({self.grant!r}, client_credential={'sent' if self.client_credential else None})"


Verdict = Grant | Refusal
Answer = Admission | Refusal | Awaitable[Admission | Refusal]
