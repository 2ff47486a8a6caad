"""Replaces a file so that a reader, or the next start after a crash, finds the old one or the new one."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Final

_LEFTOVER_AGE_S: Final = 3600.0
_numbers = count()


def replace_file(path: Path, content: bytes) -> None:
    """Raises OSError; the old file is still there then. Many processes may do this at once."""
    fresh = path.with_name(f"{path.name}.{os.getpid()}.{next(_numbers)}.tmp")
    try:
        _write(fresh, content)
        fresh.replace(path)
    except BaseException:
        with suppress(OSError):
            fresh.unlink()
        raise
    _sync_directory(path.parent)


def remove_leftovers(path: Path, now: float | None = None) -> None:
    """What processes left that were killed while they wrote. Others may be writing this very moment."""
    limit = (time.time() if now is None else now) - _LEFTOVER_AGE_S
    for leftover in path.parent.glob(f"{path.name}.*.tmp"):
        with suppress(OSError):
            if leftover.stat().st_mtime < limit:
                leftover.unlink()


def _write(path: Path, content: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        # Without it a crash of the machine may leave a file of the right name and no content.
        os.fsync(descriptor)


def _sync_directory(directory: Path) -> None:
    with suppress(OSError):
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
