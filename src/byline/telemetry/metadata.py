"""What an event may carry: numbers, truth values, None and marked strings, under identifier-like keys.

The same rule twice: the type aliases for checkers, `safe_copy` at run time for untyped callers, `Any`
and casts. Personal data has a mapping of its own and leaves here under `_PROTO_` keys.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, TypeAlias, TypeVar

from byline.telemetry.grammar import IDENTIFIER
from byline.telemetry.verified import PiiTagged, UnsafeMetadata, Verified

SafeValue: TypeAlias = "bool | int | float | Verified | None"
Metadata: TypeAlias = Mapping[str, SafeValue]
PiiMetadata: TypeAlias = "Mapping[str, PiiTagged | None]"
EventValues: TypeAlias = "Mapping[str, SafeValue | PiiTagged]"
"""What is queued: metadata, personal data among it under `_PROTO_` keys."""

PII_PREFIX: Final = "_PROTO_"
_MAX_KNOWN: Final = 4096
_INT64: Final = 2**63
V = TypeVar("V")

PASS_AS_THEY_ARE: Final = frozenset({bool, int, float, Verified, type(None)})
KNOWN_NAMES: Final[set[str]] = set()
"""Keys and event names that were found good. Bounded, and a bound on what names could smuggle out."""
USUAL_TYPES: Final[dict[str, type[object]]] = {}
"""Of the first good value under each key that was found good: another of that type is good as well."""


def make_safe(values: dict[str, SafeValue | PiiTagged]) -> None:
    """Raises UnsafeMetadata. Numbers of derived types (IntEnum, numpy.float64) become plain ones."""
    for key in values:
        make_value_safe(values, key)
        if type(key) is str:  # else it may hold on to anything, and equal what it likes
            USUAL_TYPES.setdefault(key, type(values[key]))


def make_value_safe(values: dict[str, SafeValue | PiiTagged], key: str) -> None:
    """One of them, and its key."""
    check_key(key)
    if type(values[key]) not in PASS_AS_THEY_ARE:
        values[key] = _plain_number(key, values[key])


def safe_copy(metadata: Metadata) -> dict[str, SafeValue | PiiTagged]:
    copy: dict[str, SafeValue | PiiTagged] = {**metadata}
    make_safe(copy)
    return copy


def has_huge_numbers(values: Mapping[str, object]) -> bool:
    """Integers beyond 64 bits: destinations don't take them, and a text could hide in one."""
    return any(type(value) is int and not -_INT64 <= value < _INT64 for value in values.values())


def add_pii(copy: dict[str, SafeValue | PiiTagged], pii: PiiMetadata) -> None:
    """Merges personal data into a safe copy, under `_PROTO_` keys. Raises UnsafeMetadata."""
    for key, value in pii.items():
        name = key.removeprefix(PII_PREFIX) if isinstance(key, str) else key  # pyright: ignore[reportUnnecessaryIsInstance]
        check_key(name)
        if value is None:
            continue
        if type(value) is not PiiTagged:
            raise UnsafeMetadata(f"{name}: personal data must come from i_verified_this_is_pii_tagged()")
        copy[PII_PREFIX + name] = value


def strip_pii(metadata: Mapping[str, V]) -> Mapping[str, V]:
    """Without `_PROTO_` keys; the very same object if there are none. The input is never changed."""
    for key in metadata:
        if key.startswith(PII_PREFIX):
            return {name: value for name, value in metadata.items() if not name.startswith(PII_PREFIX)}
    return metadata


def check_key(key: object) -> None:
    """For keys and event names. Raises UnsafeMetadata, without the key where that could be anything."""
    if type(key) is not str and not isinstance(key, str):
        raise UnsafeMetadata(f"a name must be a str, not {type(key).__name__}")
    if key in KNOWN_NAMES:
        return
    if key.startswith(PII_PREFIX):
        raise UnsafeMetadata(
            f"{PII_PREFIX} keys are made from the pii mapping: pass it there, without the prefix"
        )
    if not IDENTIFIER.match(key):
        raise UnsafeMetadata(
            f"a name of {len(key)} characters is no identifier: write letters, digits, _ and ., at most 64"
        )
    if len(KNOWN_NAMES) >= _MAX_KNOWN:
        raise UnsafeMetadata(f"more than {_MAX_KNOWN} different names: values belong in values, not in names")
    KNOWN_NAMES.add(str(key))


def _plain_number(key: str, value: object) -> SafeValue:
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return float(value)
    if isinstance(value, PiiTagged):
        raise UnsafeMetadata(f"{key}: personal data belongs in the pii mapping")
    if isinstance(value, str):
        raise UnsafeMetadata(
            f"{key}: a plain str is not taken; pass it through not_code_or_path(), or vouch for it with "
            "i_verified_this_is_not_code_or_filepaths()"
        )
    raise UnsafeMetadata(f"{key}: {type(value).__name__} is not taken; send numbers, truth values or None")
