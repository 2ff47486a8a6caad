"""Takes the store away for minutes under load, and fills the journal's disk, and counts the rows.

The store: the ledger process is killed and its file's lock taken before it is back, so that every
attempt to open it fails as it does when another program holds it. The disk: the journal lies on a
small file system that fills up. Prints one JSON object; exits 1 if a promise did not hold.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import msgspec

from benchmarks import gateway, native_tools
from benchmarks.fixed_rate import Phase, scene
from benchmarks.ledger_file import locked
from benchmarks.processes import prioritise
from benchmarks.small_disk import may_mount, small_disk

P99_TOLERANCE = 1.10
Policy = Literal["fail_open", "fail_closed"]


class WorkerCounts(msgspec.Struct, frozen=True):
    journal: dict[str, int]


class StoreOutage(msgspec.Struct, frozen=True):
    seconds: float
    rate: float
    before: Phase
    during: Phase
    after: Phase
    p99_ratio: float
    """During the outage over before it."""
    journal_mb: float
    """Kept on the gateway's disk when the store came back."""
    seen: int
    rows: int
    provider_request_ids: int
    caught_up_s: float
    """From the store's return until the rows of all earlier windows were in it; in steps of a window."""
    said_so: bool
    """`/readyz` named the ledger during the outage, and no longer afterwards."""

    @property
    def nothing_lost(self) -> bool:
        return self.seen == self.rows == self.provider_request_ids and not (
            self.during.refused or self.during.broken
        )

    @property
    def holds(self) -> bool:
        return self.nothing_lost and self.said_so and self.p99_ratio <= P99_TOLERANCE


class DiskFull(msgspec.Struct, frozen=True):
    policy: str
    before: Phase
    full: Phase
    after: Phase
    seen: int
    rows: int
    unrecorded: int
    entries_lost: int
    """The gateway's own count: a start and an end for each attempt, refusals included."""
    said_so: bool
    """`/readyz` named the journal while the disk was full, and no longer afterwards."""

    @property
    def holds(self) -> bool:
        recovered = self.after.refused == 0 and self.said_so
        if self.policy == "fail_closed":
            return recovered and self.full.refused > 0 and self.unrecorded == 0
        return recovered and self.full.refused == 0 and self.unrecorded <= self.entries_lost


class OutageReport(msgspec.Struct, frozen=True):
    store: StoreOutage
    disk: list[DiskFull]
    """Empty where file systems can't be mounted."""

    @property
    def holds(self) -> bool:
        return self.store.holds and all(case.holds for case in self.disk)


def entries_lost(data_dir: Path) -> int:
    """As the worker counts them, in the status file it leaves each second."""
    status = msgspec.json.decode((data_dir / "status" / "worker0.json").read_bytes(), type=WorkerCounts)
    return status.journal["lost_entries"]


@contextmanager
def without_store(running: gateway.Gateway) -> Generator[None]:
    """Takes the ledger's file away from the ledger process, and gives it back at the end."""
    path, taken, release = running.prepared.ledger, threading.Event(), threading.Event()

    def hold() -> None:
        with locked(path):
            taken.set()
            release.wait()

    holder = threading.Thread(target=hold)
    holder.start()
    try:
        for pid in running.ledger_processes():
            os.kill(pid, signal.SIGKILL)
        if not taken.wait(timeout=30):
            raise TimeoutError("the ledger's file did not come free when its process was killed")
        yield
    finally:
        release.set()
        holder.join()


def store_outage(
    directory: Path, tools: native_tools.NativeTools, *, seconds: float, rate: float, window_s: float
) -> StoreOutage:
    prepared = gateway.prepare(directory)
    windows = max(1, round(seconds / window_s))
    with scene(tools, prepared, rate=rate, window_s=window_s) as stage:
        stage.phase(1)  # connections, caches and files as they are in the long run
        before = stage.phase(max(3, windows // 3))
        with without_store(stage.running):
            during = stage.phase(windows)
            journal_bytes = sum(file.stat().st_size for file in (prepared.data_dir / "journal").iterdir())
        after, caught_up_s = stage.phase_until_recorded(max(3, windows // 3))
        seen = stage.provided.stop().requests
        recorded = stage.running.recorded(expected=seen)
    return StoreOutage(
        seconds=windows * window_s,
        rate=rate,
        before=before,
        during=during,
        after=after,
        p99_ratio=round(during.p99_us / before.p99_us, 3),
        journal_mb=round(journal_bytes / 1e6, 1),
        seen=seen,
        rows=recorded.rows,
        provider_request_ids=recorded.provider_request_ids,
        caught_up_s=round(caught_up_s, 1),
        said_so=during.readyz_status == 200 and during.names("ledger") and not after.names("ledger"),
    )


FULL_DISK_RATE = 1_000.0
"""Enough that what is held in memory for a full disk (4 MB) runs over as well."""


def disk_full(directory: Path, tools: native_tools.NativeTools, policy: Policy) -> DiskFull:
    prepared = gateway.prepare(directory, extra=f'[journal]\non_failure = "{policy}"\n')
    journal = prepared.data_dir / "journal"
    with (
        small_disk(journal, image=directory / "disk.img") as disk,
        scene(tools, prepared, rate=FULL_DISK_RATE, window_s=2) as stage,
    ):
        before = stage.phase(1)
        disk.fill(leave_bytes=256 * 1024)
        full = stage.phase(5)
        disk.free()
        time.sleep(6)  # longer than the longest pause between a writer's attempts
        after = stage.phase(2)
        seen = stage.provided.stop().requests
        recorded = stage.running.recorded(expected=seen, timeout_s=15)
    return DiskFull(
        policy=policy,
        before=before,
        full=full,
        after=after,
        seen=seen,
        rows=recorded.rows,
        unrecorded=seen - recorded.rows,
        entries_lost=entries_lost(prepared.data_dir),
        said_so=full.names("journal") and not after.names("journal"),
    )


def run(directory: Path, *, seconds: float, rate: float, window_s: float) -> OutageReport:
    tools = native_tools.build(directory)
    policies: tuple[Policy, ...] = ("fail_open", "fail_closed")
    disk = [disk_full(directory / policy, tools, policy) for policy in policies] if may_mount() else []
    return OutageReport(
        store_outage(directory / "store", tools, seconds=seconds, rate=rate, window_s=window_s), disk
    )


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.outage", description=__doc__)
    parser.add_argument("--seconds", type=float, default=600, help="how long the store is away")
    parser.add_argument("--rate", type=float, default=300, help="requests per second")
    parser.add_argument("--window", type=float, default=10, help="seconds over which a percentile is taken")
    parser.add_argument("--nice", type=int, metavar="N", help="priority of the whole run; below 0 needs root")
    options = parser.parse_args(arguments)
    if options.nice is not None:
        prioritise(options.nice)
    with tempfile.TemporaryDirectory(prefix="byline-outage-") as directory:
        report = run(Path(directory), seconds=options.seconds, rate=options.rate, window_s=options.window)
    print(msgspec.json.format(msgspec.json.encode(report)).decode())
    return 0 if report.holds else 1


if __name__ == "__main__":
    sys.exit(main())
