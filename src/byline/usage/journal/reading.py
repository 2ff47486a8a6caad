"""Reads a segment's whole lines from an offset on, in bounded memory.

A last line without its line break is not an entry yet: a live writer may still be at it. Once the
writer is done with the segment, `tail` is what a torn write left.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec

from byline.usage.journal.entries import Entry, decode

_CHUNK_BYTES = 256 * 1024


class Located(msgspec.Struct, frozen=True):
    """An entry and the bytes of the file it takes, its line break included."""

    begin: int
    end: int
    entry: Entry


def read_entries(path: Path, offset: int = 0) -> Iterator[Located]:
    """The entries from `offset` (the start of a line) to the last whole line.

    Lines that can't be read come as `Unreadable`; blank ones are passed over.
    """
    for begin, end, line in read_lines(path, offset):
        if line.strip():
            yield Located(begin, end, decode(line))


def read_lines(path: Path, offset: int) -> Iterator[tuple[int, int, bytes]]:
    """(begin, end, line without its break) of each whole line from `offset` on."""
    with path.open("rb", buffering=0) as file:
        file.seek(offset)
        unfinished: list[bytes] = []
        while chunk := file.read(_CHUNK_BYTES):
            *whole, rest = chunk.split(b"\n")
            for piece in whole:
                line = b"".join([*unfinished, piece]) if unfinished else piece
                unfinished.clear()
                begin, offset = offset, offset + len(line) + 1
                yield begin, offset, line
            if rest:
                unfinished.append(rest)


def read_line(path: Path, offset: int) -> bytes:
    """The one line at `offset`; empty where there is no whole line."""
    return next((line for _, _, line in read_lines(path, offset)), b"")


def tail(path: Path, offset: int) -> bytes:
    """What stands behind the last whole line; nobody may be appending, `offset` starts a line."""
    rest: list[bytes] = []
    with path.open("rb", buffering=0) as file:
        file.seek(offset)
        while chunk := file.read(_CHUNK_BYTES):
            before, line_break, after = chunk.rpartition(b"\n")
            rest = [after] if line_break else [*rest, before, after]
    return b"".join(rest)
