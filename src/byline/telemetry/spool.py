"""Batches of rows kept on disk until somebody has taken them.

Each process has a directory of its own below `root`, locked while it lives; what a dead process left is
adopted at the next start. Batches are written whole before they are sent, so `kill -9` loses none. Past
`max_bytes` the oldest go first.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec

from byline.telemetry.event import Row

_LOCK: Final = "lock"
MAX_BYTES: Final = 64 * 1024 * 1024


class Kept(msgspec.Struct, frozen=True, order=True):
    """A batch on disk; orders by age."""

    age: str
    path: Path
    count: int
    bytes: int


class Spool:
    """Not thread-safe: one delivery thread owns it."""

    def __init__(
        self, root: Path, *, max_bytes: int = MAX_BYTES, time_ns: Callable[[], int] = time.time_ns
    ) -> None:
        self._root = root
        self._max_bytes = max_bytes
        self._time_ns = time_ns
        self._own: Path | None = None
        self._locks: dict[Path, int] = {}
        self._batches: list[Kept] = []
        self._last_ns = 0

    def keep(self, rows: Sequence[Row]) -> int:
        """Returns how many older rows gave way. Raises OSError when the disk refuses."""
        directory = self._own_directory()
        self._last_ns = max(self._time_ns(), self._last_ns + 1)
        data = b"".join(msgspec.json.encode(row) + b"\n" for row in rows)
        path = directory / f"{self._last_ns:016x}-{len(rows)}.ndjson"
        fresh = path.with_suffix(".tmp")
        try:
            fresh.write_bytes(data)
            fresh.rename(path)
        except OSError:
            with suppress(OSError):
                fresh.unlink()
            raise
        self._batches.append(Kept(path.stem, path, len(rows), len(data)))
        return self._make_room()

    def batches(self) -> list[Kept]:
        """Oldest first."""
        return sorted(self._batches)

    def rows(self, batch: Kept) -> list[Row]:
        """Lines that can't be read are passed over."""
        return list(_readable(batch.path.read_bytes()))

    def remove(self, batch: Kept) -> None:
        self._batches.remove(batch)
        with suppress(OSError):
            batch.path.unlink()

    def adopt(self) -> int:
        """Takes over what dead processes left; returns how many rows. Never raises for a missing root."""
        adopted = 0
        with suppress(OSError):
            for directory in sorted(self._root.iterdir()):
                if directory != self._own and directory not in self._locks and self._lock(directory):
                    found = [kept for path in directory.glob("*.ndjson") if (kept := _kept(path))]
                    self._batches += found
                    adopted += sum(kept.count for kept in found)
        self._make_room()
        return adopted

    def close(self) -> None:
        """Empty directories go; others wait for the next start."""
        for directory in list(self._locks):
            self._let_go(directory)
        self._own = None
        self._batches = []

    def forget(self) -> None:
        """In a forked child: the parent's batches and locks stay the parent's."""
        for descriptor in self._locks.values():
            os.close(descriptor)
        self._locks, self._own, self._batches = {}, None, []

    def _own_directory(self) -> Path:
        if self._own is None:
            name = f"{self._time_ns():016x}-{os.getpid()}-{secrets.token_hex(4)}"
            directory = self._root / name
            directory.mkdir(mode=0o700, parents=True)
            if not self._lock(directory):
                raise BlockingIOError(f"{directory} is somebody else's")
            self._own = directory
        return self._own

    def _lock(self, directory: Path) -> bool:
        try:
            descriptor = os.open(directory / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError:
            return False
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(descriptor)
            return False
        self._locks[directory] = descriptor
        return True

    def _let_go(self, directory: Path) -> None:
        descriptor = self._locks.pop(directory)
        if not any(directory.glob("*.ndjson")):
            with suppress(OSError):
                for leftover in directory.iterdir():
                    leftover.unlink()
                directory.rmdir()
        os.close(descriptor)

    def _make_room(self) -> int:
        given_way = 0
        held = sum(batch.bytes for batch in self._batches)
        for batch in self.batches()[:-1]:
            if held <= self._max_bytes:
                break
            self.remove(batch)
            held -= batch.bytes
            given_way += batch.count
        return given_way


def _kept(path: Path) -> Kept | None:
    count = path.stem.rpartition("-")[2]
    try:
        return Kept(path.stem, path, int(count), path.stat().st_size)
    except (OSError, ValueError):
        return None


def _readable(data: bytes) -> Iterator[Row]:
    for line in data.splitlines():
        with suppress(msgspec.MsgspecError):
            yield msgspec.json.decode(line, type=dict[str, object])
