"""Whether an event is kept, by rates from outside. A bad or missing rate keeps everything."""

from __future__ import annotations

import math
import random
from collections.abc import Callable

Rate = Callable[[str], float | None]
"""Event name -> the share to keep. Read for every event, so it must not block."""


class Sampler:
    def __init__(self, rate: Rate | None = None, draw: Callable[[], float] = random.random) -> None:
        self._rate = rate
        self._draw = draw

    def decide(self, name: str) -> tuple[bool, float | None]:
        """Kept or not, and the rate to attach to a kept event: None where all are kept."""
        rate = self._asked(name)
        if rate is None or rate >= 1:
            return True, None
        return rate > 0 and self._draw() < rate, rate

    def _asked(self, name: str) -> float | None:
        if self._rate is None:
            return None
        try:
            rate = self._rate(name)
        except Exception:  # noqa: BLE001 - a flag that can't be read must not lose events
            return None
        if isinstance(rate, bool) or not isinstance(rate, int | float) or math.isnan(rate):
            return None
        return float(rate)
