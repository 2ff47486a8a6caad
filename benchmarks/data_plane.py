"""What the gateway costs on one core, beside the same load direct and through nginx.

Each round takes the loads in random order and measures every contender once under each, in random
order and right after each other, each in a fresh process on the proxy's core. Generator and provider
share the other core; their share of it is part of the result, and a round in which they were the
limit says so. The gateway records throughout: after each of its runs the ledger must hold exactly one
row per request the provider saw.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import tempfile
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgspec

from benchmarks import gateway, load, native_tools, nginx, payloads, provider, report, report_table
from benchmarks.measurement import Clocks, Run, Window
from benchmarks.processes import prioritise

PROXY_CORE, OTHER_CORE = 0, 1
Contender = Literal["direct", "nginx", "gateway"]
CONTENDERS: tuple[Contender, ...] = ("direct", "nginx", "gateway")


@dataclass(frozen=True, slots=True)
class Load:
    name: str
    body_bytes: int
    tools: int
    connections: int
    rate: float
    """Requests per second of the second window, at which latencies are compared."""
    continues: bool = True
    """Bodies begin as the one before of their session."""
    events: int = 0
    gap_us: int = 10_000

    def closed(self, seconds: float) -> load.Plan:
        stagger_us = self.gap_us if self.events else 0
        return load.Plan(self.connections, seconds, warmup_s=1.0, stagger_us=stagger_us)

    def at_rate(self, seconds: float) -> load.Plan | None:
        """Paced streams have no second window: their first one is at a fixed rate already."""
        return None if self.events else load.Plan(self.connections, seconds, warmup_s=0.5, rate=self.rate)


LOADS = (
    Load("2KB", payloads.SMALL_BYTES, tools=1, connections=64, rate=2_000),
    Load("200KB", payloads.LARGE_BYTES, tools=18, connections=64, rate=500),
    Load("200KB-new", payloads.LARGE_BYTES, tools=18, connections=64, rate=500, continues=False),
    Load("paced-sse", payloads.SMALL_BYTES, tools=1, connections=100, rate=0, events=100),
)


@dataclass(frozen=True, slots=True)
class Proxy:
    """What stands between generator and provider: where to send, whose time to count."""

    port: int
    pid: int | None = None
    others: tuple[int, ...] = ()
    gateway: gateway.Gateway | None = None


@dataclass(frozen=True, slots=True)
class Bench:
    tools: native_tools.NativeTools
    directory: Path
    seconds: float

    def run(self, contender: Contender, spec: Load, number: int) -> Run:
        directory = self.directory / f"{number}-{spec.name}-{contender}"
        prepared = gateway.prepare(directory / "gateway") if contender == "gateway" else None
        key = prepared.key if prepared else "byl_0000000000000000000000000000000000000000000000"
        request = directory / "request"
        payloads.messages_request(
            spec.body_bytes,
            tools=spec.tools,
            streaming=spec.events > 0,
            credential=key,
            continues=spec.continues,
        ).write(request)
        upstream = provider.provider(
            self.tools, core=OTHER_CORE, events=spec.events, gap_us=spec.gap_us, forbidden=key
        )
        with upstream as provided, self._proxy(contender, provided.port, prepared, directory) as proxy:
            closed = self._window(spec.closed(self.seconds), request, proxy, provided.pid)
            plan = spec.at_rate(self.seconds)
            at_rate = self._window(plan, request, proxy, provided.pid) if plan else None
            seen = provided.stop()
            recorded = proxy.gateway.recorded(expected=seen.requests) if proxy.gateway else None
        return Run(contender, spec.name, closed, at_rate, seen, recorded)

    @contextmanager
    def _proxy(
        self, contender: Contender, upstream_port: int, prepared: gateway.Prepared | None, directory: Path
    ) -> Generator[Proxy]:
        if contender == "direct":
            yield Proxy(upstream_port)
        elif contender == "nginx":
            with nginx.nginx(directory / "nginx", upstream_port=upstream_port, core=PROXY_CORE) as (
                port,
                pid,
            ):
                yield Proxy(port, pid)
        else:
            assert prepared
            prepared.point_at(upstream_port)
            with gateway.gateway(prepared, core=OTHER_CORE) as running:
                worker, others = running.pinned(worker_core=PROXY_CORE)
                yield Proxy(prepared.port, worker, others, running)

    def _window(self, plan: load.Plan, request: Path, proxy: Proxy, provider_pid: int) -> Window:
        clocks = lambda: Clocks.read(proxy.pid, provider_pid, proxy.others, PROXY_CORE, OTHER_CORE)  # noqa: E731
        measured = load.run(
            self.tools, plan, request=request, port=proxy.port, core=OTHER_CORE, clocks=clocks
        )
        return Window(measured.result, measured.after - measured.before)


def main(arguments: list[str] | None = None) -> int:
    options = _options(arguments)
    if (os.cpu_count() or 1) < 2:
        raise SystemExit("the benchmark needs two cores: one for the proxy, one for everything else")
    if options.nice is not None:
        prioritise(options.nice)
    loads = [spec for spec in LOADS if spec.name in options.loads]
    with tempfile.TemporaryDirectory(prefix="byline-bench-") as directory:
        bench = Bench(native_tools.build(Path(directory)), Path(directory), options.seconds)
        runs = list(_rounds(bench, loads, options.contenders, options.rounds, random.Random(options.seed)))
    result = report.summarise(runs, options.rounds, options.seconds, options.seed)
    print(report_table.table(result))
    if options.json:
        options.json.write_bytes(msgspec.json.format(msgspec.json.encode(result)) + b"\n")
    return 1 if result.faults or (options.enforce and not result.within_limits) else 0


def _rounds(
    bench: Bench, loads: list[Load], contenders: list[Contender], rounds: int, order: random.Random
) -> Iterator[Run]:
    for number in range(rounds):
        # All of one load right after each other: the machine's speed drifts within a round as well.
        pairs: list[tuple[Contender, Load]] = [
            (contender, spec)
            for spec in order.sample(loads, len(loads))
            for contender in order.sample(contenders, len(contenders))
        ]
        for contender, spec in pairs:
            run = bench.run(contender, spec, number)
            print(f"round {number + 1}/{rounds} {run.line()}", file=sys.stderr, flush=True)
            yield run


def _options(arguments: list[str] | None) -> argparse.Namespace:
    names = [spec.name for spec in LOADS]
    parser = argparse.ArgumentParser(prog="python -m benchmarks.data_plane", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="runs of each contender; the median counts")
    parser.add_argument("--seconds", type=float, default=3.0, help="length of each measuring window")
    parser.add_argument("--loads", nargs="+", choices=names, default=names)
    parser.add_argument("--contenders", nargs="+", choices=CONTENDERS, default=list(CONTENDERS))
    parser.add_argument(
        "--seed", type=int, default=random.SystemRandom().randrange(10_000), help="of the order"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every figure and every run there")
    parser.add_argument("--nice", type=int, metavar="N", help="priority of the whole run; below 0 needs root")
    parser.add_argument("--enforce", action="store_true", help="exit 1 if a limit is passed")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except native_tools.ToolMissingError as missing:
        sys.exit(f"make bench: {missing}")
