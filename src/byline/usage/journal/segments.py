"""The journal's files: their names, their locks, and whether a writer still lives.

A segment is locked before it gets its name and the writer's previous one is let go only after
that. So whoever can list a segment and finds it unlocked knows that its writer is done with it.
"""

from __future__ import annotations

import fcntl
import os
import re
import time
from dataclasses import dataclass
from pathlib import Path

_NAME = re.compile(r"(?P<writer>.+)-(?P<sequence>\d{8})\.ndjson")
_UNBORN_S = 3600.0
"""Far longer than the moment between a segment's creation and its naming."""


@dataclass(frozen=True, slots=True, order=True)
class Segment:
    """One file of one writer; `sequence` counts up by one."""

    directory: Path
    writer: str
    sequence: int

    @property
    def name(self) -> str:
        return f"{self.writer}-{self.sequence:08d}.ndjson"

    @property
    def path(self) -> Path:
        return self.directory / self.name

    @property
    def offset_path(self) -> Path:
        return self.path.with_suffix(".offset")

    def next(self) -> Segment:
        return Segment(self.directory, self.writer, self.sequence + 1)


def parse_name(directory: Path, name: str, suffix: str = ".ndjson") -> Segment | None:
    match = _NAME.fullmatch(name.removesuffix(suffix) + ".ndjson") if name.endswith(suffix) else None
    return Segment(directory, match["writer"], int(match["sequence"])) if match else None


def list_segments(directory: Path) -> dict[str, list[Segment]]:
    """Every writer's segments, oldest first. A directory that is not there has none."""
    try:
        names = [path.name for path in directory.iterdir()]
    except FileNotFoundError:
        return {}
    by_writer: dict[str, list[Segment]] = {}
    for segment in sorted(filter(None, (parse_name(directory, name) for name in names))):
        by_writer.setdefault(segment.writer, []).append(segment)
    return by_writer


def total_bytes(directory: Path) -> int:
    """Size of all segments; one that is deleted meanwhile counts nothing."""
    total = 0
    with os.scandir(directory) as entries:
        for entry in entries:
            if _NAME.fullmatch(entry.name):
                try:
                    total += entry.stat().st_size
                except FileNotFoundError:
                    continue
    return total


def create(segment: Segment) -> int:
    """Make the segment's file and lock it; returns a descriptor that appends.

    Its name is not on the disk for certain before `sync_directory`.
    """
    if segment.path.exists():
        raise FileExistsError(f"journal segment {segment.path} exists; writer names must be unique")
    nascent = segment.directory / f".{segment.name}.new"
    fd = os.open(nascent, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        nascent.rename(segment.path)
    except BaseException:
        os.close(fd)
        nascent.unlink(missing_ok=True)
        raise
    return fd


def is_held(segment: Segment) -> bool:
    """Whether a process may still append to it. A segment that is gone is held by nobody."""
    try:
        fd = os.open(segment.path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        # Shared, so that two who ask at the same moment don't take each other for the writer.
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False


def writer_is_dead(newest: Segment) -> bool:
    """Whether the writer whose newest listed segment this is can never append again.

    An unlocked segment was either left by a dead writer or followed by the next one before it was
    let go; looking for that one afterwards tells the two apart without a race.
    """
    return not is_held(newest) and not newest.next().path.exists()


def sweep(directory: Path) -> None:
    """Remove what crashes left beside the segments: offsets of deleted ones, unborn segments."""
    for suffix in (".offset", ".offset.new"):
        for path in directory.glob(f"*{suffix}"):
            segment = parse_name(directory, path.name, suffix)
            if segment is not None and not segment.path.exists():
                path.unlink(missing_ok=True)
    for path in directory.glob(".*.ndjson.new"):
        if time.time() - path.stat().st_mtime > _UNBORN_S:
            path.unlink(missing_ok=True)


def sync_directory(directory: Path) -> None:
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
