"""`data_dir`: room to write, the control database, the journal and what its writers say."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from byline.assembly.data_dir import DataDir
from byline.assembly.worker_status import WorkerStatus, read_statuses
from byline.cli.doctor.finding import Finding
from byline.control.database import ControlDatabaseError, open_control
from byline.control.keys import list_keys
from byline.settings import Settings
from byline.usage.data_lock import DataDirInUse, DataLock
from byline.usage.journal import progress
from byline.usage.journal.segments import Segment, list_segments

NEARLY_FULL_BYTES = 256 * 1024 * 1024
SLOW_S = 60.0
"""Rows usually reach the ledger within two seconds."""
SILENT_AFTER_S = 10.0
"""A worker leaves its status each second; after this long it has ended or hangs."""


def look(settings: Settings, now: float) -> Iterator[Finding]:
    data_dir = DataDir(settings.data_dir)
    yield _directory(settings)
    if not data_dir.root.is_dir():
        return
    yield _control(data_dir.control, now)
    yield from _journal(data_dir.journal, now)
    if _is_served(data_dir.root / "lock"):
        for status in read_statuses(data_dir.status):
            yield from _worker(status, now)


def _is_served(lock: Path) -> bool:
    """Else what workers said last is history, however young."""
    if not lock.exists():
        return False
    try:
        DataLock(lock, "byline doctor").close()
    except DataDirInUse:
        return True
    except OSError:  # nobody serves from a directory that can't be written, which has a finding of its own
        return False
    return False


def _directory(settings: Settings) -> Finding:
    root = settings.data_dir
    place = next(path for path in (root.absolute(), *root.absolute().parents) if path.exists())
    if problem := _not_writable(place):
        return Finding(
            "data_dir", "failed", f"{place}: {problem}", "correct its owner or mode, or set data_dir"
        )
    free = shutil.disk_usage(place).free
    detail = f"{root}{'' if root.exists() else ' (made at the first start)'}, {_size(free)} free"
    if free < NEARLY_FULL_BYTES:
        return Finding("data_dir", "failed", detail, "make room, or set data_dir to a larger disk")
    if free < settings.journal.max_bytes:
        remedy = "make room, or set journal.max_bytes to less than what is free"
        return Finding("data_dir", "warning", f"{detail}, less than journal.max_bytes", remedy)
    return Finding("data_dir", "ok", detail)


def _not_writable(place: Path) -> str:
    if not place.is_dir():
        return "is no directory"
    if not os.access(place, os.W_OK | os.X_OK):
        return "not writable by this user"
    try:
        with tempfile.TemporaryFile(dir=place):
            return ""
    except OSError as error:  # a read-only mount passes os.access when root asks
        return error.strerror or type(error).__name__


def _control(path: Path, now: float) -> Finding:
    first_key = "byline keys create --user NAME"
    if not path.exists():
        return Finding("keys", "warning", "no control database yet, so nobody can call", first_key)
    try:
        with open_control(path) as control:
            active = sum(key.status(now) == "active" for key in list_keys(control))
    except ControlDatabaseError as error:
        return Finding("keys", "failed", str(error), "see the message")
    if not active:
        return Finding("keys", "warning", "no active key, so nobody can call with one", first_key)
    return Finding("keys", "ok", f"{active} active")


def _journal(directory: Path, now: float) -> Iterator[Finding]:
    waiting = [lag for lag in map(_lag, _segments(directory)) if lag]
    amount, oldest_at = sum(size for size, _ in waiting), min((at for _, at in waiting), default=now)
    if now - oldest_at > SLOW_S:
        detail = f"{_size(amount)} wait for the ledger, the oldest for {now - oldest_at:,.0f} s"
        yield Finding(
            "journal", "warning", detail, "start `byline serve`, or see its log for why the store is behind"
        )
    else:
        yield Finding("journal", "ok", f"{_size(amount)} wait for the ledger")
    for name, meaning in (("torn", "unreadable lines"), ("refused", "rows the store refused")):
        kept = len(list((directory / name).glob("*")))
        if kept:
            detail = f"{meaning} were set aside in {directory / name} ({kept} files)"
            yield Finding("journal", "warning", detail, "look at them, keep what matters, then delete them")


def _segments(directory: Path) -> list[Segment]:
    return [segment for segments in list_segments(directory).values() for segment in segments]


def _lag(segment: Segment) -> tuple[int, float] | None:
    """Bytes that the store has not acknowledged, and when the last of them was written."""
    try:
        status = segment.path.stat()
    except FileNotFoundError:  # delivered and deleted since it was listed
        return None
    undelivered = status.st_size - progress.load(segment).offset
    return (undelivered, status.st_mtime) if undelivered > 0 else None


def _worker(status: WorkerStatus, now: float) -> Iterator[Finding]:
    name = f"worker {status.pid}"
    if now - status.written_at > SILENT_AFTER_S:
        return
    if status.journal_trouble:
        yield Finding(
            name, "failed", f"the journal isn't written: {status.journal_trouble}", "make room on the disk"
        )
    if lost := status.journal.lost_entries:
        yield Finding(name, "failed", f"{lost} journal entries could not be kept", "make room on the disk")
    if status.keys_trouble:
        yield Finding(name, "warning", f"keys are stale: {status.keys_trouble}", "see the message")
    if not (status.journal_trouble or lost or status.keys_trouble):
        yield Finding(name, "ok", f"{status.journal.entries} journal entries, none lost")


def _size(count: int) -> str:
    for unit, size in (("GiB", 1024**3), ("MiB", 1024**2), ("KiB", 1024)):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count} bytes"
