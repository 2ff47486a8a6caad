"""Follows one writer through its segments: pairs starts with ends, and ends what a dead writer left.

Fills batches; delivering them is the drainer's. A trail only moves forward: what it put into a
batch is delivered until it succeeds, and only then `commit` records it and deletes what is done.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

import msgspec

from byline.usage.journal import progress
from byline.usage.journal.batch import Batch
from byline.usage.journal.entries import End, Entry, Event, Start, decode, decode_start
from byline.usage.journal.progress import Progress
from byline.usage.journal.reading import read_line, read_lines, tail
from byline.usage.journal.segments import Segment
from byline.usage.record import UsageRecord

_log = logging.getLogger("byline.journal")
SetAside = Callable[[Segment, int, bytes], None]
"""(segment, offset, line): keep a line that can't be read."""


class _OpenStart(msgspec.Struct, frozen=True):
    segment: Segment
    """Where it was logged last: rotation logs it again further on."""
    offset: int
    line: bytes


class Trail:
    """One writer's segments, in order."""

    def __init__(self, set_aside: SetAside) -> None:
        self._set_aside = set_aside
        self._segments: list[Segment] = []
        self._read_to: dict[Segment, int] = {}
        self._committed_to: dict[Segment, int] = {}
        self._open: dict[str, _OpenStart] = {}
        self._changed: set[Segment] = set()
        self._done: set[Segment] = set()
        """Read to the end, and nothing more will be appended."""

    def undrained_bytes(self) -> int:
        """Bytes that no committed batch has covered."""
        return sum(_size(segment) - self._committed_to[segment] for segment in self._segments)

    def gather(self, listed: list[Segment], batch: Batch, *, writer_is_dead: bool) -> None:
        """Add to the batch what can be read now, until it is full.

        `listed` and `writer_is_dead` were found out in this order, right before: so everything a
        dead writer wrote is there to be read.
        """
        self._adopt(listed)
        for segment in self._segments:
            finished = writer_is_dead or segment != self._segments[-1]
            if segment not in self._done and not self._read(segment, batch, finished=finished):
                return
        if writer_is_dead:
            self._interrupt(batch)

    def commit(self) -> int:
        """Everything gathered was acknowledged: record that, and delete what nothing depends on.

        Returns how many segments were deleted. Oldest first: whatever a crash leaves half recorded is then read again, never skipped.
        """
        needed = {start.segment for start in self._open.values()}
        deleted = 0
        for segment in list(self._segments):
            if segment in self._done and segment not in needed:
                _delete(segment)
                self._forget(segment)
                deleted += 1
            elif segment in self._changed:
                self._record(segment)
        return deleted

    def _record(self, segment: Segment) -> None:
        self._committed_to[segment] = self._read_to[segment]
        try:
            progress.save(segment, self._progress(segment))
            self._changed.discard(segment)
        except OSError as error:
            # On a full disk the deletions must go on; this only saves work after a restart.
            _log.warning("%s: no record of what was delivered (%s)", segment.name, error.strerror)

    def _adopt(self, listed: list[Segment]) -> None:
        for segment in set(self._segments).difference(listed):
            self._forget(segment)
        for segment in listed:
            if segment not in self._read_to:
                self._segments.append(segment)
                self._read_to[segment] = self._committed_to[segment] = self._resume(segment)

    def _resume(self, segment: Segment) -> int:
        known = progress.load(segment)
        starts: dict[str, _OpenStart] = {}
        for offset in known.open_starts:
            entry = decode(read_line(segment.path, offset))
            if not isinstance(entry, Start):
                return 0
            starts[entry.request_id] = _OpenStart(segment, offset, entry.line)
        self._open.update(starts)
        return known.offset

    def _forget(self, segment: Segment) -> None:
        self._segments.remove(segment)
        self._changed.discard(segment)
        self._done.discard(segment)
        del self._read_to[segment], self._committed_to[segment]

    def _progress(self, segment: Segment) -> Progress:
        starts = sorted(start.offset for start in self._open.values() if start.segment == segment)
        return Progress(self._read_to[segment], starts)

    def _read(self, segment: Segment, batch: Batch, *, finished: bool) -> bool:
        """Whether all that is there now was read; False when the batch is full before."""
        for begin, end, line in read_lines(segment.path, self._read_to[segment]):
            if batch.is_full:
                return False
            if line.strip():
                self._take(segment, begin, decode(line), batch)
            batch.weigh(end - begin)
            self._read_to[segment] = end
            self._changed.add(segment)
        if finished:
            self._finish(segment)
        return True

    def _take(self, segment: Segment, offset: int, entry: Entry, batch: Batch) -> None:
        if isinstance(entry, Start):
            self._close_start(entry.request_id)
            self._open[entry.request_id] = _OpenStart(segment, offset, entry.line)
        elif isinstance(entry, End):
            self._close_start(entry.record.request_id)
            batch.add_row(entry.record)
        elif isinstance(entry, Event):
            batch.add_event(entry.columns)
        else:
            self._set_aside(segment, offset, entry.line)

    def _close_start(self, request_id: str) -> None:
        start = self._open.pop(request_id, None)
        if start is not None:
            self._changed.add(start.segment)

    def _finish(self, segment: Segment) -> None:
        torn = tail(segment.path, self._read_to[segment])
        if torn:
            self._set_aside(segment, self._read_to[segment], torn)
            self._read_to[segment] += len(torn)
            self._changed.add(segment)
        self._done.add(segment)

    def _interrupt(self, batch: Batch) -> None:
        for request_id, start in list(self._open.items()):
            if batch.is_full:
                return
            try:
                batch.add_row(_interrupted(decode_start(start.line)))
                batch.interrupted += 1
            except msgspec.MsgspecError:
                self._set_aside(start.segment, start.offset, start.line)
            self._close_start(request_id)


def _interrupted(record: UsageRecord) -> UsageRecord:
    return msgspec.structs.replace(record, outcome="interrupted", ended_at=None, usage_complete=False)


def _size(segment: Segment) -> int:
    try:
        return segment.path.stat().st_size
    except FileNotFoundError:
        return 0


def _delete(segment: Segment) -> None:
    # In this order: an offset file alone is swept, a segment alone is only read again.
    segment.path.unlink(missing_ok=True)
    segment.offset_path.unlink(missing_ok=True)
