"""Edits to a text by byte range, without a copy of what stays."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec


class Edit(msgspec.Struct, frozen=True):
    """Puts `text` in the place of `source[start:end]`."""

    start: int
    end: int
    text: bytes


def splice(source: bytes, edits: Sequence[Edit]) -> tuple[list[bytes | memoryview], int]:
    """The edited text as pieces in order, with its length. Edits don't overlap; views stay views."""
    view, at, length = memoryview(source), 0, len(source)
    pieces: list[bytes | memoryview] = []
    if len(edits) > 1:
        edits = sorted(edits, key=_start)
    for edit in edits:
        if edit.start > at:
            pieces.append(view[at : edit.start])
        pieces.append(edit.text)
        at = edit.end
        length += len(edit.text) - (edit.end - edit.start)
    if at < len(source):
        pieces.append(view[at:])
    return pieces, length


def _start(edit: Edit) -> int:
    return edit.start
