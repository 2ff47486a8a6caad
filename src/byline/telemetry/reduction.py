"""Few values instead of many, for sinks that keep a series per value or that more people read.

Users become one of thirty buckets: enough to see whether a fault meets many, too few to find anybody.
Names outside a field's vocabulary become `other`; versions and models lose what changes every week.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from typing import Final

import msgspec

from byline.telemetry.metadata import SafeValue
from byline.telemetry.verified import Verified, i_verified_this_is_not_code_or_filepaths

BUCKETS: Final = 30
OTHER: Final = i_verified_this_is_not_code_or_filepaths("other")
_VERSION: Final = re.compile(r"(\d+\.\d+(?:\.\d+)?)")
_MODEL: Final = re.compile(
    r"(claude-[a-z0-9-]+?|gpt-[a-z0-9.-]+?|o[1-9](?:-[a-z]+)*)(?:-?(?:20\d{6}|20\d\d-\d\d-\d\d|latest))?\Z"
)

Shorten = Callable[[str], str | None]
"""A field's value made short; None for one that is not known."""


def short_version(value: str) -> str | None:
    """`1.4.2.dev7+g0a1b` -> `1.4.2`."""
    match = _VERSION.match(value)
    return match[1] if match else None


def short_model(value: str) -> str | None:
    """A known family's model without its date."""
    match = _MODEL.match(value)
    return match[1] if match and len(match[1]) <= 32 else None


def one_of(*known: str) -> Shorten:
    vocabulary = frozenset(known)
    return lambda value: value if value in vocabulary else None


def user_bucket(user: str, buckets: int = BUCKETS) -> int:
    return int.from_bytes(hashlib.sha256(user.encode("utf-8", "surrogatepass")).digest()[:8]) % buckets


class Reduction(msgspec.Struct, frozen=True):
    fields: Mapping[str, Shorten] = {}
    """How a field's strings are shortened, by `FIELD` or `EVENT.FIELD`; all other strings become `other`."""
    buckets: int = BUCKETS

    def reduce(
        self, event: str, metadata: Mapping[str, SafeValue], user: str | None
    ) -> Mapping[str, SafeValue]:
        reduced = {
            key: self._shortened(event, key, value) if isinstance(value, Verified) else value
            for key, value in metadata.items()
        }
        if user is not None:
            reduced["user_bucket"] = user_bucket(user, self.buckets)
        return reduced

    def _shortened(self, event: str, key: str, value: Verified) -> Verified:
        shorten = self.fields.get(f"{event}.{key}") or self.fields.get(key)
        short = shorten(value) if shorten else None
        # A part of what was verified is verified too.
        return OTHER if short is None else i_verified_this_is_not_code_or_filepaths(short)
