"""How far each segment has been delivered, kept beside it so that a restart goes on there.

Losing or damaging such a file costs repeated work, never a row: it is then read from the start.
"""

from __future__ import annotations

import msgspec

from byline.usage.journal.segments import Segment


class Progress(msgspec.Struct, frozen=True):
    """`offset`: everything before it was acknowledged, save the starts at `open_starts`."""

    offset: int = 0
    open_starts: list[int] = []


_decoder = msgspec.json.Decoder(Progress)


def load(segment: Segment) -> Progress:
    try:
        progress = _decoder.decode(segment.offset_path.read_bytes())
        size = segment.path.stat().st_size
    except (FileNotFoundError, msgspec.MsgspecError):
        return Progress()
    return progress if progress.offset <= size else Progress()


def save(segment: Segment, progress: Progress) -> None:
    """Replaces the file at once, so that a reader never sees half of it."""
    nascent = segment.offset_path.with_suffix(".offset.new")
    nascent.write_bytes(msgspec.json.encode(progress))
    nascent.rename(segment.offset_path)
