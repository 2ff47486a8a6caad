"""Lenient readers of raw JSON values out of answers: what has another type counts as absent.

Answers are the provider's: a field that changes its type must cost that field alone, not the row.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import msgspec

Members = dict[str, msgspec.Raw]

_members = msgspec.json.Decoder(Members)
_array = msgspec.json.Decoder(list[msgspec.Raw])
_number = msgspec.json.Decoder(int | float)
_string = msgspec.json.Decoder(str)

MAX_TEXT = 512
MAX_COUNT = 2**63 - 1
_MAX_USAGE_BYTES = 64 * 1024

Text = Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_TEXT)]
Count = Annotated[int, msgspec.Meta(ge=0, le=MAX_COUNT)]


def members(data: bytes | None) -> Members | None:
    """The members of a JSON object."""
    try:
        return None if data is None else _members.decode(data)
    except (msgspec.DecodeError, ValueError, RecursionError):
        return None


def array(data: bytes | None) -> list[msgspec.Raw] | None:
    """The items of a JSON array."""
    try:
        return None if data is None else _array.decode(data)
    except (msgspec.DecodeError, ValueError, RecursionError):
        return None


def count(data: bytes | None) -> int | None:
    """A whole number from 0 up. `12.0` counts, since some servers add floats."""
    try:
        number = None if data is None else _number.decode(data)
    except (msgspec.DecodeError, ValueError):
        return None
    if number is None or not 0 <= number <= MAX_COUNT or number != int(number):
        return None
    return int(number)


def text(data: bytes | None) -> str | None:
    """A string that is not empty, cut to 512 characters."""
    try:
        return None if data is None else _string.decode(data)[:MAX_TEXT] or None
    except (msgspec.DecodeError, ValueError):
        return None


def present(data: bytes | None) -> bool:
    """Whether a member is there and not null."""
    return data is not None and (len(data) != 4 or bytes(data) != b"null")


def bounded(usage: bytes) -> bytes | None:
    """A usage object as it goes on the row; None where it is beyond any honest size.

    Raw values were never decoded, and a row that is no UTF-8 could not be read again.
    """
    if len(usage) > _MAX_USAGE_BYTES:
        return None
    return usage if usage.isascii() else usage.decode("utf-8", "replace").encode()


def error_type(error: bytes | None) -> str | None:
    """What kind of error an `error` member tells of; None where there is none.

    Providers differ: a `type`, a string `code`, an HTTP status as `code`, or a bare message.
    """
    if not present(error) or error in (b"false", b'""', b"{}"):
        return None
    fields: Mapping[str, msgspec.Raw] = members(error) or {}
    kind = text(fields.get("type"))
    if kind is not None and kind != "error":
        return kind
    code = text(fields.get("code"))
    number = count(fields.get("code"))
    return code or (str(number) if number is not None else "error")


def has_value(text: bytes, quoted_name: bytes) -> bool:
    """Whether some member of that name in a stretch of JSON may be other than null.

    A quick look that parses nothing. Text can't fake a name, since its quotes are escaped.
    """
    found = text.count(quoted_name)
    if not found or found == text.count(quoted_name + b":null"):
        return False
    return found != text.count(quoted_name + b": null")
