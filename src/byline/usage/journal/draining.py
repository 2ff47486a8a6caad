"""Moves the journal into the store: gather, deliver, record, delete - in this order.

Synchronous and stepwise; whoever owns it decides when to step. Everything goes at least once, and
the store tells repetitions apart by id.

A dead writer's journal is drained before the living ones'. Its replacement doesn't wait for that:
it has a journal of its own, and attempts have ids of their own.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable
from pathlib import Path

from byline.usage.journal import asides
from byline.usage.journal.batch import Batch
from byline.usage.journal.delivery import Deliver, deliver_around
from byline.usage.journal.drain_options import DrainCounters, Drained, DrainOptions
from byline.usage.journal.following import Trail
from byline.usage.journal.segments import Segment, list_segments, sweep, writer_is_dead
from byline.usage.record import UsageRecord

Prepare = Callable[[UsageRecord], None]
"""Fills in columns of the row in place, such as its cost."""
_log = logging.getLogger("byline.journal")


class Drainer:
    """Follows every writer in a journal directory. One thread calls it.

    `deliver` gets at most `max_rows` rows and events; while it fails, the batch is kept, filled up
    and tried again, with growing pauses. A ValueError means that rows are refused for good: those are
    found by halving and set aside - once the store has accepted others beside them, since a store
    that accepts nothing is broken itself.
    """

    def __init__(
        self,
        directory: Path,
        deliver: Deliver,
        *,
        prepare: Prepare | None = None,
        options: DrainOptions | None = None,
        now: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self.counters = DrainCounters()
        self.last_error: Exception | None = None
        """Why the last step failed; None once a step succeeds."""
        self._directory = directory
        self._deliver_rows = deliver
        self._prepare = prepare
        self._options = options or DrainOptions()
        self._now, self._wall, self._jitter = now, wall, jitter
        self._trails: dict[str, Trail] = {}
        self._batch: Batch | None = None
        self._turn = 0
        self._pause_s = self._options.first_retry_s
        self._retry_at = now()
        sweep(directory)

    def step(self) -> float:
        """Do at most one batch; returns in how many seconds the next step is worth while. Never raises."""
        wait_s = self._retry_at - self._now()
        if wait_s > 0:
            return wait_s
        try:
            more = self.advance()
        except Exception as error:  # noqa: BLE001 - whatever the store throws, the rows wait here
            return self._failed(error)
        self._succeeded()
        return 0.0 if more else self._options.interval_s

    def advance(self) -> bool:
        """Like `step`, without pauses and with the errors; True when more is waiting."""
        if self._batch is None:
            self._batch = Batch(self._options.max_rows, self._options.max_bytes)
        batch = self._batch
        unreadable = None if batch.is_full else self._gather(batch)
        if not batch.is_empty:
            self._deliver(batch)
        self._commit()
        self._batch = None
        if unreadable is not None:
            raise unreadable
        return batch.is_full

    def _gather(self, batch: Batch) -> OSError | None:
        """A writer whose files give an error doesn't hold up the others; the first error is returned."""
        first_error: OSError | None = None
        listed = list_segments(self._directory)
        for writer in self._trails.keys() - listed.keys():
            del self._trails[writer]
        for writer, is_dead in self._order(listed):
            trail = self._trails.setdefault(writer, Trail(self._set_aside))
            try:
                trail.gather(listed[writer], batch, writer_is_dead=is_dead)
            except OSError as error:
                first_error = first_error or error
            if batch.is_full:
                break
        return first_error

    def _order(self, listed: dict[str, list[Segment]]) -> list[tuple[str, bool]]:
        """Dead writers first; the living take turns, so that none waits behind a busy one."""
        writers = [(writer, writer_is_dead(segments[-1])) for writer, segments in listed.items()]
        self._turn += 1
        turn = self._turn % max(len(writers), 1)
        return sorted(writers[turn:] + writers[:turn], key=lambda writer: not writer[1])

    def _deliver(self, batch: Batch) -> None:
        self._prepare_rows(batch)
        refused = deliver_around(
            self._deliver_rows,
            batch.rows,
            batch.events,
            max_refused=self._options.max_refused,
            believe_lone=self._options.believe_lone_refusals,
        )
        for refusal in refused:
            path = asides.keep_refused(self._directory, refusal.item, refusal.reason)
            _log.error("the store refused a row for good; kept in %s: %s", path, refusal.reason)
        refused_rows = sum(isinstance(refusal.item, UsageRecord) for refusal in refused)
        self.counters.refused_rows += len(refused)
        self.counters.delivered_rows += len(batch.rows) - refused_rows
        self.counters.delivered_events += len(batch.events) - (len(refused) - refused_rows)
        self.counters.interrupted_rows += batch.interrupted
        batch.clear()

    def _prepare_rows(self, batch: Batch) -> None:
        rows = batch.take_unprepared()
        if self._prepare is None:
            return
        for row in rows:
            try:
                self._prepare(row)
            except Exception:  # noqa: BLE001 - a row without its price is better than none
                self.counters.unprepared_rows += 1
                _log.exception("a row goes to the store unprepared")

    def _commit(self) -> None:
        for trail in self._trails.values():
            self.counters.deleted_segments += trail.commit()

    def _set_aside(self, segment: Segment, offset: int, line: bytes) -> None:
        path = asides.keep_torn(segment, line)
        self.counters.set_aside_lines += 1
        _log.error("%s: unreadable line of %d bytes at %d, kept in %s", segment.name, len(line), offset, path)

    def _succeeded(self) -> None:
        if self.last_error is not None:
            _log.warning("the journal drains again")
        self.last_error = None
        self._pause_s = self._options.first_retry_s
        self._measure_lag()

    def _failed(self, error: Exception) -> float:
        """Returns the pause: doubled each time, and spread so that many drainers don't beat in time."""
        self.counters.failures += 1
        if self.last_error is None:
            _log.error("the journal can't be drained, its rows wait: %s", error)
        self.last_error = error
        pause = self._pause_s * (0.5 + self._jitter() / 2)
        self._pause_s = min(self._pause_s * 2, self._options.longest_retry_s)
        self._retry_at = self._now() + pause
        self._measure_lag()
        return pause

    def _measure_lag(self) -> None:
        waiting = self._batch.rows if self._batch is not None else []
        oldest = min((row.ended_at or row.started_at for row in waiting), default=None)
        self.counters.oldest_undrained_s = (
            max(self._wall() - oldest.timestamp(), 0.0) if oldest is not None else 0.0
        )
        self.counters.undrained_bytes = sum(trail.undrained_bytes() for trail in self._trails.values())


def drain_all(data_dir: Path, deliver: Deliver, *, prepare: Prepare | None = None) -> Drained:
    """Drain `data_dir`'s journal once, to its present end. Errors of `deliver` come through.

    For commands that run without a server. What live writers append meanwhile may be left to them.
    """
    # There is no later batch that could show whether the store or the row is at fault.
    options = DrainOptions(believe_lone_refusals=True)
    drainer = Drainer(data_dir / "journal", deliver, prepare=prepare, options=options)
    while drainer.advance():
        pass
    counters = drainer.counters
    return Drained(
        counters.delivered_rows,
        counters.delivered_events,
        counters.interrupted_rows,
        counters.set_aside_lines,
        counters.refused_rows,
    )
