"""When to ask again: evenly while all is well, ever more rarely while it is not, never in step with others.

With the defaults a process sends at most one request per 54 s in good times. During an outage it sends one
after 2.5 to 5 s, 5 to 10 s, 10 to 20 s and so on, up to one per 150 to 300 s.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Final

FIRST_RETRY_S: Final = 5.0
LAST_RETRY_S: Final = 300.0
JITTER: Final = 0.1


class Schedule:
    def __init__(
        self,
        interval_s: float,
        *,
        first_retry_s: float = FIRST_RETRY_S,
        fraction: Callable[[], float] = random.random,
    ) -> None:
        """`fraction`: evenly from 0 to 1."""
        self.interval_s = interval_s
        self._first_retry_s = min(first_retry_s, interval_s)
        self._fraction = fraction
        self.failures = 0
        """In a row."""

    def after_success(self) -> float:
        self.failures = 0
        return self.interval_s * (1 - JITTER + 2 * JITTER * self._fraction())

    def after_failure(self) -> float:
        ceiling = max(self.interval_s, LAST_RETRY_S)
        delay_s = min(self._first_retry_s * 2.0 ** min(self.failures, 30), ceiling)
        self.failures += 1
        return delay_s * (0.5 + 0.5 * self._fraction())
