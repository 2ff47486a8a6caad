"""What a drainer is told, and what it tells about itself."""

from __future__ import annotations

import msgspec


class DrainOptions(msgspec.Struct, frozen=True, kw_only=True):
    interval_s: float = 0.25
    """Pause between looks at a journal that had nothing more."""
    max_rows: int = 5_000
    max_bytes: int = 16 * 1024 * 1024
    """Journal bytes read for one batch; with `max_rows` this bounds memory."""
    first_retry_s: float = 0.25
    longest_retry_s: float = 30.0
    max_refused: int = 100
    """More refusals than this in one batch count as an outage of the store."""
    believe_lone_refusals: bool = False
    """Set a row aside though the store accepted nothing beside it."""


class DrainCounters(msgspec.Struct):
    delivered_rows: int = 0
    delivered_events: int = 0
    interrupted_rows: int = 0
    """Among the delivered: starts whose writer died before the end."""
    set_aside_lines: int = 0
    refused_rows: int = 0
    unprepared_rows: int = 0
    """Delivered although `prepare` failed on them."""
    failures: int = 0
    deleted_segments: int = 0
    undrained_bytes: int = 0
    oldest_undrained_s: float = 0.0
    """Age of the oldest row that waits for the store; 0 when none does."""


class Drained(msgspec.Struct, frozen=True):
    """What `drain_all` moved."""

    rows: int
    events: int
    interrupted_rows: int
    set_aside_lines: int
    refused_rows: int
