"""A file system of a few megabytes, mounted from a file, that can be filled and freed again. Needs root."""

from __future__ import annotations

import errno
import os
import subprocess
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

CAP_SYS_ADMIN = 21
"""Its bit in the kernel's capability masks."""


def may_mount() -> bool:
    """Root in a container often may not: what counts is the capability and the loop devices."""
    status = dict(line.split(":\t", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return bool(int(status["CapEff"], 16) >> CAP_SYS_ADMIN & 1) and Path("/dev/loop-control").exists()


@dataclass(frozen=True, slots=True)
class SmallDisk:
    path: Path

    def fill(self, *, leave_bytes: int) -> None:
        with self._ballast.open("wb") as ballast:
            size = 0
            for step in (1 << 20, 1 << 16, 1 << 12):
                size = _grow(ballast.fileno(), size, step)
            ballast.truncate(size - leave_bytes)

    def free(self) -> None:
        self._ballast.unlink()

    @property
    def _ballast(self) -> Path:
        return self.path / ".ballast"


def _grow(descriptor: int, size: int, step: int) -> int:
    """Until the disk is full: how much fits is only known by trying."""
    while True:
        try:
            os.posix_fallocate(descriptor, size, step)
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
            return size
        size += step


@contextmanager
def small_disk(path: Path, *, image: Path, size_mb: int = 64) -> Generator[SmallDisk]:
    with image.open("wb") as file:
        file.truncate(size_mb << 20)
    subprocess.run(["mkfs.ext4", "-q", "-m", "0", str(image)], check=True)
    path.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", "-o", "loop", str(image), str(path)], check=True)
    try:
        (path / "lost+found").rmdir()
        yield SmallDisk(path)
    finally:
        subprocess.run(["umount", "--lazy", str(path)], check=True)
        image.unlink()
