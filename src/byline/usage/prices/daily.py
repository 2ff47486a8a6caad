"""Fetches newer price data once a day while a server runs, where the operator asked for that."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

from byline.usage.prices.files import PriceFiles, fetched_at
from byline.usage.prices.update import UpdateError, update

DAY: Final = timedelta(days=1)
AFTER_FAILURE: Final = timedelta(hours=1)
_log = logging.getLogger("byline.prices")


class DailyUpdate:
    """One background thread. What can't be fetched is logged; the prices in use stay."""

    def __init__(self, files: PriceFiles, url: str, now: Callable[[], datetime]) -> None:
        self._files, self._url, self._now = files, url, now
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="prices-update", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self, timeout_s: float = 1.0) -> None:
        """A fetch under way is left to itself: it ends with the process or is kept whole."""
        self._stopped.set()
        self._thread.join(timeout_s)

    def step(self) -> timedelta:
        """Fetches if a day has passed since the last time; returns how long to wait then."""
        if (wait := self._until_due()) > timedelta():
            return wait
        try:
            kept = update(self._files, self._url, self._now())
        except (UpdateError, OSError) as error:
            _log.warning("prices were not updated, those in use stay: %s", error)
            return AFTER_FAILURE
        _log.info("prices were updated: %s", kept.name)
        return DAY

    def _until_due(self) -> timedelta:
        newest = next(iter(self._files.editions()), None)
        return timedelta() if newest is None else fetched_at(newest) + DAY - self._now()

    def _run(self) -> None:
        while not self._stopped.is_set():
            self._stopped.wait(self.step().total_seconds())
