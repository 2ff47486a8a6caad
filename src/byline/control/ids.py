"""Random names: unguessable where they are secrets, collision-free where they are ids."""

from __future__ import annotations

import base64
import secrets

ACTOR_ID_DIGITS = 26
KEY_ID_DIGITS = 12


def new_actor_id() -> str:
    return f"usr_{_base32(ACTOR_ID_DIGITS)}"


def new_key_id() -> str:
    return _base32(KEY_ID_DIGITS)


def _base32(digits: int) -> str:
    """Lower case, so that an id survives systems that fold case; five random bits a digit."""
    random_bytes = secrets.token_bytes(-(-digits * 5 // 8))
    return base64.b32encode(random_bytes).decode("ascii").lower()[:digits]
