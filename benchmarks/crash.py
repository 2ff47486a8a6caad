"""Kills worker, ledger process and supervisor at random moments under load, and counts the rows.

Every request that the provider saw must have exactly one row in the end. Prints one JSON object;
exits 1 if a row was lost, doubled or made up.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Literal

import msgspec

from benchmarks import gateway, native_tools, provider
from benchmarks.ledger_file import marked_rows
from benchmarks.marked_load import MarkedLoad
from benchmarks.processes import alive
from benchmarks.verdict import Verdict, judge

Target = Literal["worker", "ledger", "supervisor", "all"]
TARGETS: tuple[Target, ...] = ("worker", "ledger", "supervisor", "all")
EVENTS, GAP_US = 20, 10_000
LONGEST_RECOVERY_S = 60.0


class CrashReport(msgspec.Struct, frozen=True):
    rounds: int
    seed: int
    seconds: float
    kills: dict[str, int]
    recovery_ms: dict[str, list[float]]
    """Median and longest time from a kill until the gateway served again, by target."""
    sent: int
    broken: int
    """Connections that ended under a client: at the least those the dead workers held."""
    refused: int
    verdict: Verdict


class Crashes:
    """A gateway under load that is killed again and again."""

    def __init__(self, prepared: gateway.Prepared, random_moments: random.Random) -> None:
        self._prepared = prepared
        self._random = random_moments
        self._running: gateway.Gateway | None = None
        self.kills: Counter[str] = Counter()
        self.recoveries_s: dict[str, list[float]] = {target: [] for target in TARGETS}

    async def start(self) -> None:
        process = gateway.start(self._prepared.config)
        self._running = gateway.Gateway(self._prepared, process)
        await asyncio.to_thread(self._running.wait_until_ready, LONGEST_RECOVERY_S)

    async def round(self, target: Target) -> None:
        await asyncio.sleep(self._random.uniform(0.05, 0.8))
        running = self._gateway()
        family, victims = running.family(), self._victims(target)
        began = time.monotonic()
        for pid in victims:
            os.kill(pid, signal.SIGKILL)
        self.kills[target] += 1
        supervisor_died = running.process.pid in victims
        if supervisor_died:
            running.process.wait()
        await self._until(
            lambda: not any(map(alive, family if supervisor_died else victims)), "old processes end"
        )
        await self._recover(supervisor_died)
        self.recoveries_s[target].append(time.monotonic() - began)

    def _victims(self, target: Target) -> list[int]:
        running = self._gateway()
        match target:
            case "worker":
                return running.workers()
            case "ledger":
                return running.ledger_processes()
            case "supervisor":
                return [running.process.pid]
            case "all":
                return running.family()

    async def _recover(self, supervisor_died: bool) -> None:
        if supervisor_died:
            await self.start()
        running = self._gateway()
        await asyncio.to_thread(running.wait_until_ready, LONGEST_RECOVERY_S)
        await self._until(lambda: bool(running.ledger_processes()), "the ledger process is back")

    async def _until(self, condition: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + LONGEST_RECOVERY_S
        while not condition():
            if time.monotonic() > deadline:
                raise TimeoutError(f"{LONGEST_RECOVERY_S:.0f} s after a kill still waiting until {what}")
            await asyncio.sleep(0.01)

    async def stop(self) -> None:
        await asyncio.to_thread(self._gateway().stop)

    def _gateway(self) -> gateway.Gateway:
        if self._running is None:
            raise RuntimeError("no gateway was started")
        return self._running


async def run(rounds: int, seed: int, directory: Path) -> CrashReport:
    tools = native_tools.build(directory)
    markers = directory / "markers"
    markers.touch()
    prepared = gateway.prepare(directory / "gateway")
    began = time.monotonic()
    with provider.provider(tools, events=EVENTS, gap_us=GAP_US, markers=markers) as provided:
        prepared.point_at(provided.port)
        crashes = Crashes(prepared, random.Random(seed))
        load = MarkedLoad(prepared.port, prepared.key)
        await crashes.start()
        async with load.running():
            for number, target in enumerate(_targets(rounds, random.Random(seed))):
                await crashes.round(target)
                print(f"round {number + 1}/{rounds}: killed {target}", file=sys.stderr, flush=True)
        await crashes.stop()
    # Without a server the command drains what is left of the journal before it answers.
    gateway.byline(prepared.config, "sql", "select count(*) from api_usage")
    seen = Counter(markers.read_text().split())
    return CrashReport(
        rounds=rounds,
        seed=seed,
        seconds=round(time.monotonic() - began, 1),
        kills=dict(crashes.kills),
        recovery_ms={
            target: _median_and_longest(times) for target, times in crashes.recoveries_s.items() if times
        },
        sent=load.sent,
        broken=load.broken,
        refused=load.refused,
        verdict=judge(seen, marked_rows(prepared.ledger), load.answered),
    )


def _targets(rounds: int, order: random.Random) -> list[Target]:
    """Each as often as the others, in random order."""
    targets: list[Target] = [TARGETS[number % len(TARGETS)] for number in range(rounds)]
    order.shuffle(targets)
    return targets


def _median_and_longest(times_s: list[float]) -> list[float]:
    return [round(value * 1000, 1) for value in (median(times_s), max(times_s))]


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.crash", description=__doc__)
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10_000))
    parser.add_argument("--keep", type=Path, metavar="DIR", help="leave data directory and log there")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="byline-crash-") as temporary:
        report = asyncio.run(run(options.rounds, options.seed, options.keep or Path(temporary)))
    print(msgspec.json.format(msgspec.json.encode(report)).decode())
    return 0 if report.verdict.holds else 1


if __name__ == "__main__":
    sys.exit(main())
