"""The first party: rows of `api_events`, personal values in their privileged columns.

The only sink that sees whole events. With a spool a batch is on disk before it is sent, and stays there
until it was taken: through outages, crashes and to the next start.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Collection, Sequence
from typing import Final

from byline.telemetry.catalogue import PERSONAL_FIELDS
from byline.telemetry.counters import Counters
from byline.telemetry.delivery import LONGEST_PAUSE_S, TryAgain, Undeliverable
from byline.telemetry.event import Event, Row
from byline.telemetry.rows import RowMaker
from byline.telemetry.source import Source
from byline.telemetry.spool import Kept, Spool

FIRST_RETRY_S: Final = 0.5
Deliver = Callable[[Sequence[Row]], int | None]
"""Returns how many rows were refused for good. Raises Undeliverable where that is all of them; any other
exception means: later."""


class FirstParty:
    name = "first_party"

    def __init__(
        self,
        deliver: Deliver,
        source: Source,
        *,
        personal: Collection[str] = tuple(PERSONAL_FIELDS),
        spool: Spool | None = None,
        now: Callable[[], float] = time.monotonic,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        """`personal`: keys that have a privileged column. Without a spool a failed batch is tried a few times."""
        self._deliver = deliver
        self._rows = RowMaker(source, personal)
        self._spool = spool
        self._now, self._jitter = now, jitter
        self._failures = 0
        self._retry_at = now()
        self._has_adopted = False
        self.counters = Counters()

    def send(self, batch: Sequence[Event], /) -> None:
        rows = [row for event in batch if (row := self._row(event)) is not None]
        if self._spool is None:
            self._hand_over(rows)
            return
        try:
            self.counters.drop("spool_full", self._spool.keep(rows))
        except OSError:
            self._hand_over(rows)  # no room on the disk: the destination may still be there
            return
        self.idle()

    def idle(self) -> None:
        """Sends what is kept on disk, if it is time to."""
        if self._spool is None:
            return
        if not self._has_adopted:
            self._has_adopted = True
            self._spool.adopt()
        if self._now() >= self._retry_at:
            self._send_kept(self._spool, float("inf"))

    def close(self, deadline: float) -> None:
        if self._spool is not None:
            if self._now() >= self._retry_at:
                self._send_kept(self._spool, deadline)
            self._spool.close()

    def after_fork(self) -> None:
        self._failures = 0
        self._has_adopted = True  # what dead processes left is the parent's to send
        if self._spool is not None:
            self._spool.forget()

    def _row(self, event: Event) -> Row | None:
        try:
            row, undeclared = self._rows.make(event)
        except (TypeError, ValueError, OverflowError):
            self.counters.drop("unserializable")
            return None
        self.counters.drop("undeclared_pii", undeclared)
        return row

    def _send_kept(self, spool: Spool, deadline: float) -> None:
        for batch in spool.batches():
            if time.monotonic() >= deadline or not self._send_one(spool, batch):
                return

    def _send_one(self, spool: Spool, batch: Kept) -> bool:
        try:
            rows = spool.rows(batch)
        except OSError:
            rows = []  # somebody has cleaned up: nothing is left to send
            self.counters.drop("delivery_failed", batch.count)
        try:
            self._hand_over(rows)
        except Undeliverable as error:
            self.counters.drop(error.reason, batch.count)
        except Exception as error:  # noqa: BLE001 - whatever the destination throws, the rows wait
            self._failures += 1
            self._retry_at = self._now() + self._pause_s(error)
            return False
        self._failures = 0
        spool.remove(batch)
        return True

    def _pause_s(self, error: Exception) -> float:
        """Quadratic backoff, spread so that many processes don't beat in time."""
        pause_s = min(FIRST_RETRY_S * self._failures**2, LONGEST_PAUSE_S) * (0.5 + self._jitter() / 2)
        return max(pause_s, (error.after_s or 0.0) if isinstance(error, TryAgain) else 0.0)

    def _hand_over(self, rows: Sequence[Row]) -> None:
        if rows:
            refused = self._deliver(rows) or 0
            self.counters.drop("refused", refused)
            self.counters.deliver(len(rows) - refused)
