"""The two marked kinds of string that telemetry takes, and the only ways to make them.

A type checker sees two final classes that a plain `str` is not; at run time the constructors are guarded.
Whatever is done to a marked string (`+`, f-string, slice, `.lower()`, pickle) gives a plain one again.
"""

from __future__ import annotations

from typing import Final, final

from byline.telemetry.grammar import reason_unsafe

_TOKEN: Final = object()


class UnsafeMetadata(ValueError):
    """The message names the key and the reason, never the value."""


@final
class Verified(str):
    """A string checked, by rule or by a person, not to be code, a path or personal data."""

    __slots__ = ()

    def __new__(cls, value: str, token: object = None, /) -> Verified:
        if token is not _TOKEN:
            raise TypeError("use not_code_or_path() or i_verified_this_is_not_code_or_filepaths()")
        return str.__new__(cls, value)

    def __reduce__(self) -> tuple[type[str], tuple[str]]:
        return str, (str(self),)  # pickled and copied markers come back unmarked


@final
class PiiTagged(str):
    """A string that may only go to a privileged column of the first-party table."""

    __slots__ = ()

    def __new__(cls, value: str, token: object = None, /) -> PiiTagged:
        if token is not _TOKEN:
            raise TypeError("use i_verified_this_is_pii_tagged()")
        return str.__new__(cls, value)

    def __reduce__(self) -> tuple[type[str], tuple[str]]:
        return str, (str(self),)

    def __repr__(self) -> str:
        return "PiiTagged(...)"


def not_code_or_path(value: str) -> Verified:
    """Passes model names, ids, versions, regions; raises UnsafeMetadata for code, paths, sentences, secrets."""
    if (why := reason_unsafe(value)) is not None:
        raise UnsafeMetadata(
            f"the value {why}; if a person has looked: i_verified_this_is_not_code_or_filepaths()"
        )
    return Verified(value, _TOKEN)


def i_verified_this_is_not_code_or_filepaths(value: str) -> Verified:
    """What a person vouches for. The long name is there to be found: `git grep i_verified`."""
    return Verified(value, _TOKEN)


def i_verified_this_is_pii_tagged(value: str) -> PiiTagged:
    """Personal data, for the `pii` mapping of an event."""
    return PiiTagged(value, _TOKEN)
