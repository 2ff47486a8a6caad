"""Tells a read that is exactly one chunk by its length alone, as nearly every event of a stream is."""

from __future__ import annotations

MAX_KNOWN_BYTES = 16_384
_openings: dict[int, bytes] = {}
known_opening = _openings.get
"""The size line for a number of bytes, if `opening_of` was asked for it before."""


def opening_of(total: int) -> bytes:
    """The size line of a chunk that has `total` bytes with its framing, in its shortest spelling.

    Where there is no such chunk, more bytes than came: nothing begins with them.
    """
    digits = 1
    while len(b"%x" % max(total - 4 - digits, 0)) > digits:
        digits += 1
    size = total - 4 - digits
    opening = b"%x\r\n" % size if size > 0 and len(b"%x" % size) == digits else bytes(total + 1)
    if total <= MAX_KNOWN_BYTES:
        _openings[total] = opening
    return opening
