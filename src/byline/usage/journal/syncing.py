"""Forces written entries to the disk, in one background thread, at most once an interval.

The writer only marks that there is something to sync; it never waits for the disk. The thread also
closes the segments that the writer has left, since closing is what gives up their lock.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable
from pathlib import Path

from byline.usage.journal.segments import sync_directory


class Syncer:
    """`watch` each new segment, `mark_dirty` after each write, `close` at the end."""

    def __init__(
        self, directory: Path, interval_s: float, *, fdatasync: Callable[[int], None] = os.fdatasync
    ) -> None:
        self.syncs = 0
        self.error: OSError | None = None
        """The last sync failed: what was written may not be on the disk. The writer clears it."""
        self.failures = 0
        self._directory = directory
        self._interval_s = interval_s
        self._fdatasync = fdatasync
        self._current: int | None = None
        self._left: deque[int] = deque()
        self._name_is_new = False
        self._dirty = False
        self._wake = threading.Event()
        self._stopping = threading.Event()
        # A daemon: a program that never closes its writer must still be able to exit.
        self._thread = threading.Thread(target=self._run, name="byline-journal-sync", daemon=True)
        self._thread.start()

    def watch(self, fd: int) -> None:
        """From now on `fd` is written to; the one before is synced, closed and so unlocked."""
        self._name_is_new = True
        if self._current is not None:
            self._left.append(self._current)
        self._current = fd
        self.mark_dirty()

    def mark_dirty(self) -> None:
        if not self._dirty:
            self._dirty = True
            self._wake.set()

    def close(self) -> None:
        """Sync what is left and close every descriptor."""
        self._stopping.set()
        self._wake.set()
        self._thread.join()
        self._sync()
        if self._current is not None:
            os.close(self._current)
            self._current = None

    def _run(self) -> None:
        while True:
            self._wake.wait()
            self._wake.clear()
            if self._stopping.is_set():
                return
            self._sync()
            self._stopping.wait(self._interval_s)

    def _sync(self) -> None:
        # Cleared before the sync: whoever writes from here on marks again, so the worst is one
        # sync too many.
        self._dirty = False
        try:
            if self._name_is_new:
                self._name_is_new = False
                sync_directory(self._directory)
            # The present one first: the writer may leave it meanwhile, and the left are closed.
            if (current := self._current) is not None:
                self._fdatasync(current)
            while self._left:
                self._sync_and_close(self._left[0])
            self.syncs += 1
        except OSError as error:
            self.failures += 1
            self.error = error

    def _sync_and_close(self, fd: int) -> None:
        try:
            self._fdatasync(fd)
        finally:
            self._left.popleft()
            os.close(fd)
