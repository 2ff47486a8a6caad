"""What a writer is told, and what it tells about itself."""

from __future__ import annotations

from typing import Literal

import msgspec


class JournalOptions(msgspec.Struct, frozen=True, kw_only=True):
    """The `[journal]` settings as plain values."""

    on_failure: Literal["fail_open", "fail_closed"] = "fail_open"
    sync_interval_s: float = 0.02
    segment_bytes: int = 16 * 1024 * 1024
    segment_age_s: float = 60.0
    max_bytes: int = 4 * 1024 * 1024 * 1024
    """Disk budget of all segments in the directory, those of other writers included."""
    hold_bytes: int = 4 * 1024 * 1024
    """Memory for entries that wait for a full disk; ends of starts already written may exceed it."""


class JournalCounters(msgspec.Struct):
    """What a writer has done since it was opened."""

    entries: int = 0
    bytes: int = 0
    writes: int = 0
    rotations: int = 0
    write_failures: int = 0
    lost_entries: int = 0
    """Entries neither written nor held: what `fail_open` could not record."""
    refused_starts: int = 0
    """Starts turned away because `fail_closed` holds."""
    syncs: int = 0
    sync_failures: int = 0
    backlog_bytes: int = 0
    """Appended and not written yet."""


class JournalTrouble(msgspec.Struct, frozen=True):
    """Why entries are not being written now, in words for `/readyz` and the log."""

    reason: str
    since: float
    """On the writer's clock."""
    lost_entries: int
