"""Byline keys as a source of identity."""

from __future__ import annotations

from collections.abc import Callable
from hmac import compare_digest

from byline.control.directory import KeyDirectory, StoredKey
from byline.control.keys import KEY_CHARS, secret_hash, split_key
from byline.gateway.auth.admission import Refusal, Verdict

_NO_SECRET_HASH = bytes(32)
"""Compared with where no key is known, so that an unknown id takes as long as a wrong secret."""

_UNKNOWN = Refusal(
    401,
    "unknown_key",
    "This Byline key is not known here. Check that it was copied whole, or ask for a new one.",
)
_MALFORMED = Refusal(
    401, "malformed_key", f"This is not a whole Byline key: one has {KEY_CHARS} characters. Copy it again."
)
_UNAVAILABLE = Refusal(
    503, "keys_unavailable", "Byline keys can't be verified at the moment. Try again in a few minutes."
)


class KeySource:
    def __init__(self, directory: KeyDirectory, now: Callable[[], float]) -> None:
        self._directory = directory
        self._now = now

    def verify(self, presented: bytes) -> Verdict:
        directory = self._directory
        if directory.is_stale():
            return _UNAVAILABLE
        parts = split_key(presented)
        if parts is None:
            return _MALFORMED
        key_id, secret = parts
        stored = directory.lookup(key_id)
        expected = _NO_SECRET_HASH if stored is None else stored.secret_hash
        if not compare_digest(secret_hash(secret), expected) or stored is None:
            return _UNKNOWN
        # From here on the caller has proved to hold the key, so it may learn what became of it.
        at = self._now()
        if stored.revoked_at is not None or (stored.expires_at is not None and at >= stored.expires_at):
            return _ended(key_id, stored)
        directory.record_use(key_id, at)
        return stored.grant


def _ended(key_id: str, stored: StoredKey) -> Refusal:
    if stored.revoked_at is not None:
        return Refusal(401, "revoked_key", f"The Byline key {key_id} was revoked. Ask for a new one.")
    return Refusal(401, "expired_key", f"The Byline key {key_id} has expired. Ask for a new one.")
