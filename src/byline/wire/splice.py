"""Edits to a text by byte range, without a copy of what stays."""

from __future__ import annotations

from collections.abc import Sequence

Edit = tuple[int, int, bytes]
"""(start, end, text): puts `text` in the place of `source[start:end]`."""


def splice(source: bytes, edits: Sequence[Edit]) -> tuple[list[bytes | memoryview], int]:
    """The edited text as pieces in order, with its length. Edits don't overlap; views stay views."""
    view, at, length = memoryview(source), 0, len(source)
    pieces: list[bytes | memoryview] = []
    for start, end, text in sorted(edits) if len(edits) > 1 else edits:
        if start > at:
            pieces.append(view[at:start])
        pieces.append(text)
        at = end
        length += len(text) - (end - start)
    if at < len(source):
        pieces.append(view[at:])
    return pieces, length
