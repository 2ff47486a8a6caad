"""What became of events, by reason. Counting happens off the hot path, or where an event is lost anyway."""

from __future__ import annotations

from _thread import allocate_lock
from collections.abc import Mapping
from typing import Final, Literal

Reason = Literal[
    "queue_full", "sink_error", "sampled", "killed", "not_allowed", "too_large", "too_old", "unserializable",
    "undeclared_pii", "refused", "delivery_failed", "spool_full", "async_backlog", "shutdown",
]  # fmt: skip
REASONS: Final[Mapping[Reason, str]] = {
    "queue_full": "events came faster than they could be taken, or no sink was attached in time",
    "sink_error": "the sink raised",
    "sampled": "left out by its sample rate",
    "killed": "the sink's kill switch is on",
    "not_allowed": "the event's name is not on the sink's allow-list",
    "too_large": "beyond what the destination takes in one entry",
    "too_old": "older than the destination takes",
    "unserializable": "no JSON could be made of it",
    "undeclared_pii": "personal values without a declared column; only the value is dropped",
    "refused": "the destination said no for good",
    "delivery_failed": "the destination could not be reached, and all tries are over",
    "spool_full": "the oldest kept batches gave way to newer ones",
    "async_backlog": "too many asynchronous sends were under way",
    "shutdown": "the program ended first",
}


class Counters:
    """Delivered and dropped, of one queue or one sink."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Also after a fork: the lock may be held by a thread that the child doesn't have."""
        self._lock = allocate_lock()
        self._dropped: dict[Reason, int] = {}
        self._delivered = 0
        self._delivered_awaited = 0

    def drop(self, reason: Reason, count: int = 1) -> bool:
        """True if this is the first for its reason: worth a warning, the next ones are not."""
        if count <= 0:
            return False
        with self._lock:
            before = self._dropped.get(reason, 0)
            self._dropped[reason] = before + count
            return before == 0

    def deliver(self, count: int = 1) -> None:
        """Called by one thread alone, the one that hands over: without a lock, as it counts each event."""
        self._delivered += count

    def deliver_awaited(self) -> None:
        """The same, for the one thread that runs what asynchronous sinks return."""
        self._delivered_awaited += 1

    @property
    def delivered(self) -> int:
        return self._delivered + self._delivered_awaited

    @property
    def dropped(self) -> dict[Reason, int]:
        with self._lock:
            return dict(self._dropped)
