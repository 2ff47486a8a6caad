"""Who works in a data directory: an exclusive lock that ends with its holder, however that ends."""

from __future__ import annotations

import fcntl
import os
import re
import time
from collections.abc import Callable
from pathlib import Path

from byline.usage.ledger import LedgerUnavailable

_PID = re.compile(r"\(pid (\d+)\)")
_PAUSE_S = 0.02


class DataDirInUse(LedgerUnavailable):
    """Another process holds the lock; the text names it."""

    def __init__(self, directory: Path, holder: str) -> None:
        super().__init__(f"{directory} is in use by {holder or 'another process'}")
        self.holder = holder
        """What the holder called itself, with its pid; empty if it has not said yet."""


class DataLock:
    """Held from construction until `close` or the end of the process, and of every process that
    inherited `fileno()`."""

    def __init__(self, path: Path, holder: str) -> None:
        """`holder` says who has it, for whoever finds it taken. Raises DataDirInUse then."""
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            named = os.pread(self._fd, 200, 0).decode(errors="replace").strip()
            os.close(self._fd)
            raise DataDirInUse(path.parent, named) from None
        os.ftruncate(self._fd, 0)
        os.pwrite(self._fd, f"{holder} (pid {os.getpid()})\n".encode(), 0)

    def fileno(self) -> int:
        return self._fd

    @property
    def fd(self) -> int:
        """Whoever inherits it holds the lock as well."""
        return self._fd

    def close(self) -> None:
        if self._fd >= 0:
            os.ftruncate(self._fd, 0)
            os.close(self._fd)
            self._fd = -1


def lock_for_serving(
    path: Path,
    holder: str,
    *,
    wait_s: float = 5.0,
    now: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> DataLock:
    """The lock for a server. Waits for a command that reads, and for children whose server was
    killed; a living server is an error at once. Raises DataDirInUse.
    """
    deadline = now() + wait_s
    while True:
        try:
            return DataLock(path, holder)
        except DataDirInUse as error:
            serving = error.holder.startswith(holder) and _is_alive(error.holder)
            if serving or now() >= deadline:
                raise
        sleep(_PAUSE_S)


def _is_alive(holder: str) -> bool:
    match = _PID.search(holder)
    if match is None:
        return False
    try:
        stat = Path("/proc", match[1], "stat").read_bytes()
    except (FileNotFoundError, ProcessLookupError):  # the latter if it is reaped while we read
        return False
    # Behind the name, which may hold anything: the state. A zombie has died already.
    return stat.rpartition(b")")[2].split()[0] not in (b"Z", b"X")
