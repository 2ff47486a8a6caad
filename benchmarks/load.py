"""Runs the C load generator and reads clocks as its measuring window opens and closes."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Generic, TypeVar

import msgspec

from benchmarks.native_tools import NativeTools
from benchmarks.payloads import VARY_BYTES

Clocks = TypeVar("Clocks")


class Distribution(msgspec.Struct, frozen=True):
    count: int
    p50: float
    p90: float
    p99: float
    max: float

    @classmethod
    def over(cls, parts: Sequence[Distribution]) -> Distribution:
        """Of several windows: the median of their percentiles, since the single values are gone."""
        return cls(
            sum(part.count for part in parts),
            median(part.p50 for part in parts),
            median(part.p90 for part in parts),
            median(part.p99 for part in parts),
            max(part.max for part in parts),
        )


class Result(msgspec.Struct, frozen=True):
    latency_us: Distribution
    first_byte_us: Distribution
    event_delay_us: Distribution
    """From the provider's write of an event to its read by the client."""
    started: int
    completed: int
    failed: int
    refused: int
    """Answered with another status than 200."""
    broken: int
    """The connection ended or the answer was no HTTP."""
    unfinished: int
    requests: int
    """Ended inside the window; `events` and `bytes` likewise."""
    events: int
    bytes: int
    window_s: float
    cpu_s: float
    """The generator's own."""
    backlog_s: float
    """With a fixed rate: how late the generator was in the end. Not 0 means the rate was not held."""

    @classmethod
    def over(cls, parts: Sequence[Result]) -> Result:
        return cls(
            latency_us=Distribution.over([part.latency_us for part in parts]),
            first_byte_us=Distribution.over([part.first_byte_us for part in parts]),
            event_delay_us=Distribution.over([part.event_delay_us for part in parts]),
            started=sum(part.started for part in parts),
            completed=sum(part.completed for part in parts),
            failed=sum(part.failed for part in parts),
            refused=sum(part.refused for part in parts),
            broken=sum(part.broken for part in parts),
            unfinished=sum(part.unfinished for part in parts),
            requests=sum(part.requests for part in parts),
            events=sum(part.events for part in parts),
            bytes=sum(part.bytes for part in parts),
            window_s=sum(part.window_s for part in parts),
            cpu_s=sum(part.cpu_s for part in parts),
            backlog_s=max(part.backlog_s for part in parts),
        )


@dataclass(frozen=True, slots=True)
class Plan:
    connections: int
    seconds: float
    warmup_s: float
    rate: float = 0
    """Requests per second; 0 is a closed loop."""
    stagger_us: int = 0
    """Spread of the connections' first requests, so that paced streams don't run in step."""


@dataclass(frozen=True, slots=True)
class Measured(Generic[Clocks]):
    result: Result
    before: Clocks
    after: Clocks


def run(
    tools: NativeTools,
    plan: Plan,
    *,
    request: Path,
    port: int,
    core: int | None,
    clocks: Callable[[], Clocks],
    first_number: int = 0,
) -> Measured[Clocks]:
    """No two requests of the same number and after are alike; runs that share none get ranges of their own."""
    options = {
        "port": port,
        "request": request,
        "vary": VARY_BYTES,
        "connections": plan.connections,
        "seconds": plan.seconds,
        "warmup": plan.warmup_s,
        "rate": plan.rate,
        "stagger-us": plan.stagger_us,
        "first-number": first_number,
    }
    command = [] if core is None else ["taskset", "-c", str(core)]
    command.append(str(tools.load))
    command += [word for name, value in options.items() for word in (f"--{name}", str(value))]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        opened = process.stdout.readline()
        before = clocks()
        closed = process.stdout.readline()
        after = clocks()
        report = process.stdout.read()
    if process.returncode or (opened, closed) != ("measuring\n", "measured\n"):
        raise RuntimeError("the load generator gave up; its reason stands above")
    return Measured(msgspec.json.decode(report, type=Result), before, after)
