"""A worker's counters, left in a small file each second for doctor, the console and `/metrics`."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path

import msgspec

from byline.control.directory import KeyDirectory
from byline.gateway.drains import Drains
from byline.usage.journal import JournalCounters, JournalWriter


class WorkerStatus(msgspec.Struct, kw_only=True):
    """What stands in `status/workerN.json`."""

    pid: int
    written_at: float
    """Epoch seconds. A worker writes each second: an older one has ended or hangs."""
    journal: JournalCounters
    journal_trouble: str | None
    keys_trouble: str | None
    draining_streams: int
    counts: Mapping[str, int]


class StatusFile:
    def __init__(
        self,
        path: Path,
        journal: JournalWriter,
        counts: Mapping[str, int],
        drains: Drains,
        directory: KeyDirectory,
    ) -> None:
        self._path = path
        self._journal = journal
        self._counts = counts
        self._drains = drains
        self._directory = directory
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)

    def write(self) -> None:
        """Replaces the file whole. A full disk leaves the old one: its age tells."""
        trouble = self._journal.trouble()
        status = WorkerStatus(
            pid=os.getpid(),
            written_at=time.time(),
            journal=self._journal.counters(),
            journal_trouble=trouble.reason if trouble else None,
            keys_trouble=self._directory.problem,
            draining_streams=len(self._drains),
            counts=self._counts,
        )
        fresh = self._path.with_suffix(".tmp")
        try:
            fresh.write_bytes(msgspec.json.encode(status))
            fresh.replace(self._path)
        except OSError:
            return


def read_statuses(directory: Path) -> list[WorkerStatus]:
    """The last words of each worker; files that can't be read are passed over."""
    found: list[WorkerStatus] = []
    for path in sorted(directory.glob("worker*.json")):
        try:
            found.append(msgspec.json.decode(path.read_bytes(), type=WorkerStatus))
        except (OSError, msgspec.MsgspecError):
            continue
    return found
