"""While the journal can't be written: since when, why, and when to try again.

Holds no entries and touches no files; the writer does.
"""

from __future__ import annotations

import errno

FIRST_RETRY_S = 0.1
LONGEST_RETRY_S = 5.0
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


def is_full(error: OSError) -> bool:
    """Whether it is space that lacks, which comes back by itself."""
    return error.errno in _FULL


class OverBudgetError(OSError):
    """The undrained segments have reached the journal's disk budget."""

    def __init__(self, used: int, allowed: int) -> None:
        super().__init__(
            errno.EDQUOT,
            f"undrained segments take {used} of {allowed} bytes; "
            "see why the ledger does not drain them, or raise journal.max_bytes",
        )


class Outage:
    """One stretch of time without a working journal. Time to the next try doubles up to 5 s."""

    def __init__(self, error: OSError, now: float) -> None:
        self.since = now
        self.lost = 0
        """Entries that could not be kept in this outage."""
        self._pause_s = FIRST_RETRY_S
        self.note(error)

    def note(self, error: OSError) -> None:
        self.reason = error.strerror or type(error).__name__
        # Over budget, a new segment lets the drainer delete the one that fills it.
        self.needs_new_segment = isinstance(error, OverBudgetError) or not is_full(error)

    def next_pause_s(self) -> float:
        pause = self._pause_s
        self._pause_s = min(pause * 2, LONGEST_RETRY_S)
        return pause
