"""Appends entries to this process's segments.

Entries of one turn of the event loop are written together, by one `write`. A start's callback runs
only once that write has returned, so no byte goes upstream that the journal does not know of. When
the disk refuses, `JournalOptions.on_failure` decides; a writer mends itself when the disk is back.
One thread (the event loop's) calls all of this.
"""

from __future__ import annotations

import errno
import logging
import os
import secrets
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec

from byline.usage.journal import entries
from byline.usage.journal.entries import Row
from byline.usage.journal.outage import Outage, is_full
from byline.usage.journal.output import Output
from byline.usage.journal.syncing import Syncer
from byline.usage.journal.writer_options import JournalCounters, JournalOptions, JournalTrouble

Callback = Callable[[], object]
_ROTATION_RETRY_S = 1.0
_log = logging.getLogger("byline.journal")


def new_writer_id(name: str) -> str:
    """A writer name never used before; names sort by time of birth."""
    return f"{name}-{time.time_ns():016x}-{secrets.token_hex(4)}"


_Start = tuple[Row, bytes, int, Callback, Callback | None]
"""Record, what is known of it, where its line ends in the buffer, what to call once it is written, or if it is not."""


class JournalWriter:
    """`append_start` before sending, `append_end` once the row is whole, `close` at the end.

    `call_soon` and `call_later` are the event loop's. Raises OSError when the first segment can't be
    made for another reason than a full disk.
    """

    def __init__(
        self,
        directory: Path,
        writer: str,
        *,
        call_soon: Callable[[Callback], object],
        call_later: Callable[[float, Callback], object],
        options: JournalOptions | None = None,
        now: Callable[[], float] = time.monotonic,
        fdatasync: Callable[[int], None] = os.fdatasync,
    ) -> None:
        self._options = options or JournalOptions()
        self._call_soon, self._call_later, self._now = call_soon, call_later, now
        self._counters = JournalCounters()
        self._buffer = bytearray()
        self._starts: list[_Start] = []
        """Those whose line waits in the buffer."""
        self._open: dict[str, _Start] = {}
        """Attempts whose start is kept and whose end has not come."""
        self._flush_due = False
        self._closed = False
        self._outage: Outage | None = None
        self._rotate_at = 0.0
        self._rotate_size = 0
        directory.mkdir(parents=True, exist_ok=True)
        self._syncer = Syncer(directory, self._options.sync_interval_s, fdatasync=fdatasync)
        self._output = Output(directory, writer, self._syncer, max_bytes=self._options.max_bytes, now=now)
        self._open_first()

    def accepts(self) -> bool:
        """False while `fail_closed` holds and entries can't be written: answer 503."""
        return self._outage is None or self._options.on_failure == "fail_open"

    def trouble(self) -> JournalTrouble | None:
        """What keeps entries from being written now, if anything does."""
        outage = self._outage
        return JournalTrouble(outage.reason, outage.since, outage.lost) if outage else None

    def counters(self) -> JournalCounters:
        """The counters as of now; the same object each time."""
        counters = self._counters
        counters.syncs, counters.sync_failures = self._syncer.syncs, self._syncer.failures
        counters.backlog_bytes = len(self._buffer)
        return counters

    def append_start(
        self, record: Row, then: Callback, on_refused: Callback | None = None, known: bytes = b""
    ) -> None:
        """Log that an attempt is about to be sent; `then` may send it.

        `then` runs after the entry's write has returned, or without it when `fail_open` lets the
        request pass. Under `fail_closed` a start that can't be written gets `on_refused` instead.
        The record may be filled further afterwards; it is logged again when the segment changes.
        `known`: `KnownColumns.members`, where the record has an attempt's columns alone.
        """
        if self._outage is not None:
            self._append_start_in_outage(record, known, then, on_refused)
            return
        if not self._append(entries.START, record, known):
            self._decide_unwritten(then, on_refused)
            return
        start = record, known, len(self._buffer), then, on_refused
        self._open[record.request_id] = start
        self._starts.append(start)

    def append_end(self, record: Row, known: bytes = b"") -> None:
        """Log the whole row of an attempt, also of one that never had a start."""
        was_open = self._open.pop(record.request_id, None) is not None
        # A start on disk without its end would read as `interrupted`, so such an end is always held.
        if was_open or self._has_room():
            self._append(entries.END, record, known)
        else:
            self._lose()

    def append_event(self, columns: Mapping[str, object]) -> None:
        """Log a row of `api_events`; `columns` holds at least its `event_id`."""
        if "event_id" not in columns:
            raise ValueError("an event without event_id can't be told from its repetition; add one")
        if self._has_room():
            self._append(entries.EVENT, columns)
        else:
            self._lose()

    def flush(self) -> None:
        """Write now what would be written at the end of this turn of the loop."""
        self._flush()

    def close(self) -> None:
        """Write what is left, sync it and let go of the segment. What comes later counts as lost."""
        if self._outage is None:
            self._flush()
        else:
            self._try_again(self._outage)
        self._outage = self._outage or Outage(OSError(errno.EBADF, "the journal is closed"), self._now())
        self._lose(self._buffer.count(b"\n"))
        self._closed = True
        self._open.clear()
        self._buffer.clear()
        self._output.close()
        self._syncer.close()

    def _append(self, prefix: bytes, columns: Row | Mapping[str, object], known: bytes = b"") -> bool:
        try:
            entries.encode(self._buffer, prefix, columns, known)
        except (msgspec.MsgspecError, ValueError, TypeError, RecursionError) as error:
            _log.error("journal entry lost: no JSON can be made of it (%s)", type(error).__name__)
            self._lose()
            return False
        self._counters.entries += 1
        if not self._flush_due and self._outage is None:
            self._flush_due = True
            self._call_soon(self._flush)
        return True

    def _append_start_in_outage(
        self, record: Row, known: bytes, then: Callback, on_refused: Callback | None
    ) -> None:
        if self._options.on_failure == "fail_open":
            if not self._has_room():
                self._lose()
            elif self._append(entries.START, record, known):
                self._open[record.request_id] = record, known, 0, then, on_refused
        self._decide_unwritten(then, on_refused)

    def _decide_unwritten(self, then: Callback, on_refused: Callback | None) -> None:
        if self._options.on_failure == "fail_open":
            self._call_soon(then)
            return
        self._counters.refused_starts += 1
        if on_refused is not None:
            self._call_soon(on_refused)

    def _has_room(self) -> bool:
        if self._outage is None:
            return True
        return not self._closed and len(self._buffer) < self._options.hold_bytes

    def _lose(self, count: int = 1) -> None:
        self._counters.lost_entries += count
        if self._outage is not None:
            self._outage.lost += count

    def _flush(self) -> None:
        self._flush_due = False
        if self._outage is not None or not self._buffer:
            return
        size = len(self._buffer)
        error = self._write()
        starts, self._starts = self._starts, []
        if error is None:
            self._rotate_if_due()
            for _, _, _, then, _ in starts:
                _run(then)
        else:
            self._begin_outage(error)
            self._settle(starts, size - len(self._buffer))

    def _write(self) -> OSError | None:
        size = len(self._buffer)
        error = self._output.write(self._buffer)
        self._counters.writes += 1
        self._counters.bytes += size - len(self._buffer)
        return error

    def _settle(self, starts: list[_Start], written: int) -> None:
        """Answer the starts of a write that failed after `written` bytes of the buffer."""
        if self._options.on_failure == "fail_open":
            for _, _, _, then, _ in starts:
                _run(then)
            return
        kept = [start for start in starts if start[2] <= written]
        refused = starts[len(kept) :]
        for record, _, end, _, _ in reversed(refused):
            line_end = end - written
            del self._buffer[self._buffer.rfind(b"\n", 0, line_end - 1) + 1 : line_end]
            self._open.pop(record.request_id, None)
        for _, _, _, then, _ in kept:
            _run(then)
        for _, _, _, _, on_refused in refused:
            self._counters.refused_starts += 1
            if on_refused is not None:
                _run(on_refused)

    # Changing segments

    def _open_first(self) -> None:
        try:
            self._open_next()
        except OSError as error:
            if not is_full(error):
                self._syncer.close()
                raise
            self._begin_outage(error)

    def _open_next(self) -> None:
        self._output.open_next()
        self._rotate_at = self._output.opened_at + self._options.segment_age_s
        self._rotate_size = self._options.segment_bytes

    def _rotate_if_due(self) -> None:
        if self._output.size >= self._rotate_size or self._now() >= self._rotate_at:
            self._rotate()

    def _rotate(self) -> None:
        try:
            self._open_next()
        except OSError as error:
            _log.warning("no new journal segment (%s); going on in the old one", error.strerror)
            self._rotate_at = self._now() + _ROTATION_RETRY_S
            self._rotate_size = self._output.size + self._options.segment_bytes
            return
        self._counters.rotations += 1
        # Open starts move along, so that the old segment can go once it has been drained.
        for record, known, *_ in self._open.values():
            self._append(entries.START, record, known)
        error = self._write() if self._buffer else None
        if error is not None:
            self._begin_outage(error)
        # What was logged again must not fill the segment: at worst it doubles what is written.
        self._rotate_size = self._output.size + max(self._output.size, self._options.segment_bytes)

    # Outages

    def _begin_outage(self, error: OSError) -> None:
        self._outage = outage = Outage(error, self._now())
        self._counters.write_failures += 1
        _log.error("the journal can't be written (%s); %s", outage.reason, self._options.on_failure)
        self._call_later(outage.next_pause_s(), self._retry)

    def _retry(self) -> None:
        outage = self._outage
        if outage is None or self._closed:
            return
        error = self._try_again(outage)
        if error is not None:
            self._counters.write_failures += 1
            outage.note(error)
            self._call_later(outage.next_pause_s(), self._retry)
            return
        self._outage = None
        _log.warning(
            "the journal can be written again after %.1f s; %d entries lost",
            self._now() - outage.since,
            outage.lost,
        )

    def _try_again(self, outage: Outage) -> OSError | None:
        if not self._output.is_open or (outage.needs_new_segment and self._output.size):
            try:
                self._open_next()
            except OSError as error:
                return error
        return self._write() if self._buffer else self._output.probe()


def _run(callback: Callback) -> None:
    try:
        callback()
    except Exception:  # noqa: BLE001 - the others in the same write must still run
        _log.exception("a callback of the journal failed")
