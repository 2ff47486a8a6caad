"""The segment a writer has open: whole lines reach it or stay in the buffer.

Decides nothing about requests; it says what the disk said.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

from byline.usage.journal.outage import OverBudgetError
from byline.usage.journal.segments import Segment, create, total_bytes
from byline.usage.journal.syncing import Syncer

_BUDGET_CHECK_S = 1.0
_CLOSING = b"{\n"
"""Behind a torn line. One that lacks nothing but its line break was refused or is written anew: no reader may take it."""


class Output:
    """Takes over segment after segment; `size` is that of the present one. Nothing is open at first."""

    def __init__(
        self, directory: Path, writer: str, syncer: Syncer, *, max_bytes: int, now: Callable[[], float]
    ) -> None:
        self.size = 0
        self.opened_at = now()
        self._directory = directory
        self._segment = Segment(directory, writer, 0)
        self._syncer = syncer
        self._max_bytes = max_bytes
        self._now = now
        self._fd = -1
        self._ends_torn = False
        self._allowance = 0
        """Bytes that may be written before the disk budget is looked at again."""
        self._budget_check_at = now()

    @property
    def is_open(self) -> bool:
        return self._fd >= 0

    def open_next(self) -> None:
        """Go on in a new segment. The old one, if any, is synced and let go by the syncer."""
        segment = self._segment.next()
        fd = create(segment)
        self._segment, self._fd, self.size = segment, fd, 0
        self._ends_torn = False
        self.opened_at = self._now()
        self._syncer.watch(fd)

    def write(self, buffer: bytearray) -> OSError | None:
        """Append the buffer's lines. Those written leave the buffer, the others stay, and the error
        that stopped it is returned."""
        error = self._objection()
        if error is not None:
            return error
        if self._ends_torn and not buffer.startswith(_CLOSING):
            buffer[0:0] = _CLOSING
        try:
            written = os.write(self._fd, buffer)
        except OSError as refusal:
            return refusal
        if written < len(buffer):
            written, error = self._write_rest(buffer, written)
        self._account(buffer, written)
        return error

    def probe(self) -> OSError | None:
        """Whether a line could be written, found out by writing a blank one."""
        return self.write(bytearray(b"\n"))

    def close(self) -> None:
        """A segment that nothing was written to is taken away, still locked."""
        if self._fd >= 0 and os.fstat(self._fd).st_size == 0:
            self._segment.path.unlink(missing_ok=True)
        self._fd = -1

    def _objection(self) -> OSError | None:
        if self._syncer.error is not None:
            error, self._syncer.error = self._syncer.error, None
            return error
        if self._fd < 0:
            return OSError(errno.EBADF, "no journal segment is open")
        if self._allowance > 0 and self._now() < self._budget_check_at:
            return None
        return self._check_budget()

    def _check_budget(self) -> OSError | None:
        """Over it by the last write at most: refusing a write that does not fit could be for ever,
        when what an outage has held is more than the whole budget."""
        used = total_bytes(self._directory)
        self._allowance = self._max_bytes - used
        self._budget_check_at = self._now() + _BUDGET_CHECK_S
        return OverBudgetError(used, self._max_bytes) if self._allowance <= 0 else None

    def _write_rest(self, buffer: bytearray, written: int) -> tuple[int, OSError | None]:
        """A short write means that the disk is filling up; the next one usually says so."""
        with memoryview(buffer) as view:
            while written < len(view):
                with view[written:] as rest:
                    try:
                        count = os.write(self._fd, rest)
                    except OSError as error:
                        return written, error
                if count == 0:
                    return written, OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                written += count
        return written, None

    def _account(self, buffer: bytearray, written: int) -> None:
        if written:
            self._ends_torn = False
            self._syncer.mark_dirty()
        kept = written
        if written < len(buffer):
            kept = buffer.rfind(b"\n", 0, written) + 1
            self._cut_off(written - kept)
        del buffer[:kept]
        self.size += kept
        self._allowance -= kept

    def _cut_off(self, torn: int) -> None:
        """Take the torn line's bytes back; failing that, the next write closes it."""
        if torn == 0:
            return
        try:
            os.ftruncate(self._fd, os.fstat(self._fd).st_size - torn)
        except OSError:
            self._ends_torn = True
