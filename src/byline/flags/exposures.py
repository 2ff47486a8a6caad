"""Which exposures were reported, and which reads wait for the data that says whether they are any."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import Final

from byline.flags.snapshot import Exposure

log = logging.getLogger(__name__)

MAX_REMEMBERED: Final = 1000
"""Names read before there was data. More of them are a sign of generated names, and are dropped."""
MAX_REPORTED: Final = 10_000

Report = Callable[[Exposure], None]


class ExposureLog:
    """Reports each feature and variation once. `report` must be quick and not block; it may raise."""

    def __init__(self, report: Report | None) -> None:
        self._report = report
        self._reported: dict[tuple[str, str, str], object] = {}
        self._remembered: dict[str, None] = {}
        self.dropped = 0
        """Early reads not remembered for want of room."""

    def report(self, exposures: Iterable[Exposure]) -> None:
        for exposure in exposures:
            if self._is_first(exposure):
                self._deliver(exposure)

    def remember(self, name: str) -> None:
        """A read before the first load. May be reported later by `take_remembered`."""
        if len(self._remembered) < MAX_REMEMBERED:
            self._remembered[name] = None
        elif name not in self._remembered:
            self.dropped += 1

    def take_remembered(self) -> list[str]:
        taken, self._remembered = self._remembered, {}
        return list(taken)

    def forget(self) -> None:
        """The values are another user's from now on."""
        self._reported, self._remembered = {}, {}

    def _is_first(self, exposure: Exposure) -> bool:
        if len(self._reported) >= MAX_REPORTED:
            self._reported = {}
        token = object()
        key = (exposure.feature, exposure.experiment, exposure.variation_key)
        # setdefault is one step, so of two threads that come at once only one reports.
        return self._reported.setdefault(key, token) is token

    def _deliver(self, exposure: Exposure) -> None:
        if self._report is None:
            return
        try:
            self._report(exposure)
        except Exception:
            log.exception("an exposure of feature %r could not be reported", exposure.feature)
