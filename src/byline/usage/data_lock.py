"""Who works in a data directory: an exclusive lock that ends with its holder, however that ends."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from byline.usage.ledger import LedgerUnavailable


class DataLock:
    """Held from construction until `close` or the end of the process."""

    def __init__(self, path: Path, holder: str) -> None:
        """`holder` says who has it, for whoever finds it taken. Raises LedgerUnavailable then."""
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            named = os.pread(self._fd, 200, 0).decode(errors="replace").strip()
            os.close(self._fd)
            raise LedgerUnavailable(f"{path.parent} is in use by {named or 'another process'}") from None
        os.ftruncate(self._fd, 0)
        os.pwrite(self._fd, f"{holder} (pid {os.getpid()})\n".encode(), 0)

    def close(self) -> None:
        if self._fd >= 0:
            os.ftruncate(self._fd, 0)
            os.close(self._fd)
            self._fd = -1
