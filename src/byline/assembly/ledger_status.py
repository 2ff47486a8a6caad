"""How the ledger process is doing, left in a small file each second for workers and doctor."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from byline.usage.journal import Drainer

INTERVAL_S = 1.0
LATE_S = 15.0
"""Rows that wait longer, or a file that is older, are worth saying."""


class LedgerStatus(msgspec.Struct, kw_only=True):
    """What stands in `status/ledger.json`."""

    pid: int
    written_at: float
    """Epoch seconds."""
    undrained_bytes: int
    oldest_undrained_s: float
    failures: int
    last_error: str | None


@contextmanager
def reporting(path: Path, drainer: Drainer) -> Generator[None]:
    """Writes the file each second until the block ends."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    stop = threading.Event()
    thread = threading.Thread(target=_report, args=(path, drainer, stop), name="ledger-status", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _report(path: Path, drainer: Drainer, stop: threading.Event) -> None:
    while not stop.is_set():
        _write(path, drainer)
        stop.wait(INTERVAL_S)


def _write(path: Path, drainer: Drainer) -> None:
    counters, error = drainer.counters, drainer.last_error
    status = LedgerStatus(
        pid=os.getpid(),
        written_at=time.time(),
        undrained_bytes=counters.undrained_bytes,
        oldest_undrained_s=counters.oldest_undrained_s,
        failures=counters.failures,
        last_error=None if error is None else str(error),
    )
    fresh = path.with_suffix(".tmp")
    try:
        fresh.write_bytes(msgspec.json.encode(status))
        fresh.replace(path)
    except OSError:
        return  # a full disk: the old file's age tells


class LedgerWatch:
    """What a worker's `/readyz` says about the ledger. `look` reads the file, `degraded` only tells."""

    def __init__(self, path: Path, wall: Callable[[], float]) -> None:
        self._path = path
        self._wall = wall
        self._born_at = wall()
        self._status: LedgerStatus | None = None

    def look(self) -> None:
        try:
            self._status = msgspec.json.decode(self._path.read_bytes(), type=LedgerStatus)
        except (OSError, msgspec.MsgspecError):
            return

    def degraded(self) -> list[str]:
        status = self._status
        heard_at = self._born_at if status is None else max(status.written_at, self._born_at)
        if self._wall() - heard_at > LATE_S:
            return ["the ledger process does not run; rows wait in the journal"]
        if status is not None and status.oldest_undrained_s > LATE_S:
            return [f"the ledger is {status.oldest_undrained_s:.0f} s behind; rows wait in the journal"]
        return []
