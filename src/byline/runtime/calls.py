"""What is done to a call before it is sent, whichever client sends it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, Final

from byline.identity.environment import CarriedIdentity
from byline.runtime.answers import SentCall
from byline.runtime.bodies import Call

KEY_PREFIX: Final = "byl_"


def describe(
    call: Call,
    identity: CarriedIdentity | None,
    *,
    model: str | None,
    streaming: bool,
    field: str | None,
    is_ours: bool,
) -> SentCall | None:
    """What an answer's hook wants to know; `field` is what the provider is told. None for batches: their usage comes hours later."""
    if call.api == "batch":
        return None
    return SentCall(
        family=call.family,
        api=call.api,
        model=model,
        streaming=streaming,
        identity_sent=field,
        identity_action=("stamped" if is_ours else "kept") if field else "none",
        user=identity.user if identity else None,
        job=identity.job if identity else None,
        started_at=time.time(),
        started=time.monotonic(),
    )


def claim_headers(identity: CarriedIdentity, present: Mapping[str, Any]) -> dict[str, str]:
    """What a gateway reads in place of the field, which it overwrites and which may be too short.

    Only for calls that go to a gateway, which keeps these headers from the provider.
    """
    taken = {name.lower() for name in present}
    claims = {"X-Byline-User": identity.user, "X-Byline-Job": identity.job}
    return {
        name: value
        for name, value in claims.items()
        if value and name.lower() not in taken and value.isascii() and value.isprintable()
    }
