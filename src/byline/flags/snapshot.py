"""What a refresh brings: every feature's value with the reason for it, as one unit.

A snapshot is replaced whole, in memory and on disk, so that a feature deleted at its source is gone.
"""

from __future__ import annotations

from collections.abc import Mapping, Set
from typing import Any, Final, Literal

import msgspec

SCHEMA_VERSION: Final = 1
"""Raised when `Evaluated` changes its meaning: files of another version are not read."""

Reason = Literal["STATIC", "DEFAULT", "TARGETING_MATCH", "SPLIT", "CACHED", "DISABLED", "ERROR"]
"""OpenFeature's words for why a value is what it is."""
ErrorCode = Literal["FLAG_NOT_FOUND", "PROVIDER_NOT_READY", "TYPE_MISMATCH", "GENERAL"]
Layer = Literal["env", "config", "memory", "disk", "default"]
Json = Any
"""A decoded JSON value. What a feature holds is between its author and its reader."""


class Exposure(msgspec.Struct, frozen=True, omit_defaults=True):
    """Somebody was put into a variation of an experiment by reading a feature."""

    feature: str
    experiment: str
    variation: int
    variation_key: str
    hash_attribute: str = "id"
    """By which attribute the experiment splits. Its value stays here: it may name a person."""


class Evaluated(msgspec.Struct, frozen=True, omit_defaults=True):
    """One feature's value for this process, or for one request."""

    value: Json
    reason: Reason = "STATIC"
    variant: str | None = None
    rule_id: str | None = None
    exposures: tuple[Exposure, ...] = ()


Features = Mapping[str, Evaluated]


class Snapshot(msgspec.Struct, frozen=True):
    fetched_at: float
    """Epoch seconds."""
    features: dict[str, Evaluated]


def changed_names(old: Features, new: Features, masked: Set[str] = frozenset()) -> frozenset[str]:
    """Whose value is another one now, came or went; `masked` are those that an override hides."""
    names = old.keys() | new.keys()
    return frozenset(name for name in names - masked if _bytes_of(old.get(name)) != _bytes_of(new.get(name)))


def _bytes_of(evaluated: Evaluated | None) -> bytes | None:
    """Compared as JSON: in Python 1 == True == 1.0. A key order of its own changes nothing."""
    return None if evaluated is None else msgspec.json.encode(evaluated.value, order="sorted")
