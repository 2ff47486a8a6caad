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
import urllib.error
import urllib.request
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Literal

import msgspec

from benchmarks import gateway, load, native_tools, payloads, provider
from benchmarks.ledger_file import locked
from benchmarks.processes import prioritise
from benchmarks.small_disk import may_mount, small_disk

CONNECTIONS = 32
P99_TOLERANCE = 1.10
CATCH_UP_S = 300.0
Policy = Literal["fail_open", "fail_closed"]


class WorkerCounts(msgspec.Struct, frozen=True):
    journal: dict[str, int]


class Phase(msgspec.Struct, frozen=True):
    """One stretch of the load, in windows."""

    windows: int
    requests: int
    refused: int
    broken: int
    p50_us: float
    p99_us: float
    """Medians of the windows' percentiles."""
    p99_us_each: list[float]
    readyz_status: int
    readyz_body: str


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


@dataclass(slots=True)
class Scene:
    """A gateway, its provider and a load at a fixed rate."""

    tools: native_tools.NativeTools
    running: gateway.Gateway
    provided: provider.Provider
    request: Path
    rate: float
    window_s: float
    started: int = field(default=0)

    def phase(self, windows: int) -> Phase:
        return self._summary([self._window() for _ in range(windows)])

    def phase_until_recorded(self, windows: int) -> tuple[Phase, float]:
        """At least `windows`, and on until the ledger has what was sent; returns how long that took."""
        began, caught_up_s, results = time.monotonic(), 0.0, list[load.Result]()
        while len(results) < windows or (not caught_up_s and time.monotonic() - began < CATCH_UP_S):
            results.append(self._window())
            if not caught_up_s and self._is_recorded(self.started - self._in_a_window):
                caught_up_s = time.monotonic() - began
        return self._summary(results), caught_up_s

    def _is_recorded(self, rows: int) -> bool:
        try:
            return self.running.recorded(expected=0, timeout_s=0).rows >= rows
        except gateway.CommandFailedError:
            return False

    @property
    def _in_a_window(self) -> int:
        return int(self.rate * self.window_s)

    def _window(self) -> load.Result:
        plan = load.Plan(CONNECTIONS, self.window_s, warmup_s=0, rate=self.rate)
        port = self.running.prepared.port
        result = load.run(
            self.tools, plan, request=self.request, port=port, core=None, clocks=time.monotonic
        ).result
        self.started += result.started
        return result

    def _summary(self, results: list[load.Result]) -> Phase:
        status, body = readyz(self.running.prepared.port)
        return Phase(
            windows=len(results),
            requests=sum(result.started for result in results),
            refused=sum(result.refused for result in results),
            broken=sum(result.broken for result in results),
            p50_us=median(result.latency_us.p50 for result in results),
            p99_us=median(result.latency_us.p99 for result in results),
            p99_us_each=[result.latency_us.p99 for result in results],
            readyz_status=status,
            readyz_body=body,
        )


def readyz(port: int) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def names(part: str, phase: Phase) -> bool:
    return part in phase.readyz_body


def entries_lost(data_dir: Path) -> int:
    """As the worker counts them, in the status file it leaves each second."""
    status = msgspec.json.decode((data_dir / "status" / "worker0.json").read_bytes(), type=WorkerCounts)
    return status.journal["lost_entries"]


@contextmanager
def scene(
    tools: native_tools.NativeTools, prepared: gateway.Prepared, *, rate: float, window_s: float
) -> Generator[Scene]:
    request = prepared.directory / "request"
    payloads.messages_request(payloads.SMALL_BYTES, tools=1, streaming=False, credential=prepared.key).write(
        request
    )
    with provider.provider(tools) as provided:
        prepared.point_at(provided.port)
        with gateway.gateway(prepared) as running:
            yield Scene(tools, running, provided, request, rate, window_s)


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
        said_so=during.readyz_status == 200 and names("ledger", during) and not names("ledger", after),
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
        said_so=names("journal", full) and not names("journal", after),
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
