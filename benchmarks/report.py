"""From runs to figures: medians with their spread, and ratios within a round."""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

import msgspec

from benchmarks import nginx
from benchmarks.load import Distribution
from benchmarks.measurement import Run

CPU_RATIO_LIMITS = {"2KB": 3.0, "200KB": 2.5, "200KB-new": None, "paced-sse": 1.6}
"""Most CPU the gateway may use, as a multiple of nginx's in the same round; None: for information."""
RESIDENT_MB_LIMIT = 120.0


class Spread(msgspec.Struct, frozen=True):
    median: float
    min: float
    max: float

    @classmethod
    def of(cls, values: Iterable[float]) -> Spread:
        known = sorted(values)
        return cls(median(known), known[0], known[-1])


class Line(msgspec.Struct, frozen=True):
    """One contender under one load."""

    load: str
    contender: str
    unit: str
    """What CPU is counted per: `request` or `event`."""
    cpu_us: Spread | None
    per_s: Spread
    """Requests, or events, per second: of the closed loop, which is the most the proxy could do."""
    p50_us: Spread
    p99_us: Spread
    """Latency at the fixed rate; for streams, of an event between provider and client."""
    added_p50_us: float | None
    added_p99_us: float | None
    """Median over direct."""
    closed_p50_us: Spread
    closed_p99_us: Spread
    resident_mb: Spread | None
    peak_mb: float | None
    proxy_share: Spread
    harness_share: Spread
    foreign_share: Spread
    harness_was_limit: int
    """Rounds in which the proxy's core had time to spare: `per_s` is then a lower bound."""
    cpu_ratio: Spread | None
    """CPU over nginx's, round by round."""
    limit: float | None


class Environment(msgspec.Struct, frozen=True):
    measured_at: datetime
    cpu: str
    kernel: str
    python: str
    nginx: str


class Summary(msgspec.Struct, frozen=True):
    environment: Environment
    rounds: int
    seconds: float
    turns: int
    """In how many the seconds of a round were measured."""
    seed: int
    lines: list[Line]
    faults: list[str]
    beyond_limits: list[str]
    runs: list[Run]

    @property
    def within_limits(self) -> bool:
        return not self.beyond_limits


def summarise(runs: list[Run], *, rounds: int, seconds: float, turns: int, seed: int) -> Summary:
    loads = list(dict.fromkeys(run.load for run in runs))
    ordered = [
        (load, name) for load in CPU_RATIO_LIMITS if load in loads for name in ("direct", "nginx", "gateway")
    ]
    lines = [_line(load, name, runs) for load, name in ordered if _of(runs, load, name)]
    return Summary(
        environment=_environment(any(run.contender == "nginx" for run in runs)),
        rounds=rounds,
        seconds=seconds,
        turns=turns,
        seed=seed,
        lines=lines,
        faults=[fault for run in runs for fault in run.faults()],
        beyond_limits=[problem for line in lines for problem in _beyond_limits(line)],
        runs=runs,
    )


def _of(runs: list[Run], load: str, contender: str) -> list[Run]:
    return [run for run in runs if (run.load, run.contender) == (load, contender)]


def _line(load: str, contender: str, runs: list[Run]) -> Line:
    mine, direct, reference = (_of(runs, load, name) for name in (contender, "direct", "nginx"))
    first = mine[0]
    compared = contender == "gateway" and len(mine) == len(reference)
    proxied = contender != "direct"
    return Line(
        load=load,
        contender=contender,
        unit="event" if first.streaming else "request",
        cpu_us=Spread.of(run.cpu_us for run in mine) if proxied else None,
        per_s=Spread.of(_per_s(run) for run in mine),
        p50_us=_spread(mine, lambda latency: latency.p50),
        p99_us=_spread(mine, lambda latency: latency.p99),
        added_p50_us=_added(mine, direct, lambda latency: latency.p50) if proxied and direct else None,
        added_p99_us=_added(mine, direct, lambda latency: latency.p99) if proxied and direct else None,
        closed_p50_us=Spread.of(run.closed.result.latency_us.p50 for run in mine),
        closed_p99_us=Spread.of(run.closed.result.latency_us.p99 for run in mine),
        resident_mb=Spread.of(run.closed.spent.resident_mb for run in mine) if proxied else None,
        peak_mb=max(run.closed.spent.peak_mb for run in mine) if proxied else None,
        proxy_share=Spread.of(run.closed.proxy_share for run in mine),
        harness_share=Spread.of(run.closed.harness_share for run in mine),
        foreign_share=Spread.of(run.closed.foreign_share for run in mine),
        harness_was_limit=sum(run.harness_was_limit for run in mine),
        cpu_ratio=Spread.of(a.cpu_us / b.cpu_us for a, b in zip(mine, reference, strict=True))
        if compared
        else None,
        limit=CPU_RATIO_LIMITS[load] if compared else None,
    )


def _per_s(run: Run) -> float:
    return run.closed.events_per_s if run.streaming else run.closed.requests_per_s


def _latency(run: Run) -> Distribution:
    """At a rate that is the same for every contender: only then may latencies be compared."""
    return run.at_rate.result.latency_us if run.at_rate else run.closed.result.event_delay_us


def _spread(runs: list[Run], part: Callable[[Distribution], float]) -> Spread:
    return Spread.of(part(_latency(run)) for run in runs)


def _added(runs: list[Run], direct: list[Run], part: Callable[[Distribution], float]) -> float:
    return _spread(runs, part).median - _spread(direct, part).median


def _beyond_limits(line: Line) -> list[str]:
    if line.contender != "gateway":
        return []
    problems: list[str] = []
    if line.cpu_ratio and line.limit and line.cpu_ratio.median > line.limit:
        problems.append(f"{line.load}: {line.cpu_ratio.median:.2f} times nginx's CPU, limit {line.limit}")
    if line.peak_mb and line.peak_mb > RESIDENT_MB_LIMIT:
        problems.append(f"{line.load}: worker used {line.peak_mb:.0f} MB, limit {RESIDENT_MB_LIMIT:.0f}")
    return problems


def _environment(with_nginx: bool) -> Environment:
    model = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        "unknown",
    )
    return Environment(
        measured_at=datetime.now(UTC).replace(microsecond=0),
        cpu=model,
        kernel=platform.release(),
        python=platform.python_version(),
        nginx=nginx.version() if with_nginx else "",
    )
