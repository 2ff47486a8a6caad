"""What the gateway costs on one core, beside the same load direct and through nginx.

Each round takes the loads in random order. Under each, every contender runs in a fresh process on the
proxy's core, and they are measured in turns of half a second, each turn in random order: the machine's
speed may be half as much again a few seconds later. Generator and providers share the other core;
their share of it is part of the result, and a round in which they were the limit says so. The
gateway records throughout: after each round the ledger must hold exactly one row per request the
provider saw.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import tempfile
from collections.abc import Generator, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import msgspec

from benchmarks import gateway, load, native_tools, nginx, payloads, provider, report, report_table
from benchmarks.measurement import Clocks, Run, Window
from benchmarks.processes import prioritise

PROXY_CORE, OTHER_CORE = 0, 1
Contender = Literal["direct", "nginx", "gateway"]
NUMBERS_PER_TURN = 10_000_000
"""More than any turn can send: no two turns send the same requests."""
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

    def turns(self, seconds: float, count: int) -> list[load.Plan]:
        """The closed loop in `count` windows. Those of streams are one stream long, whatever `count` is, and open in
        the middle of one: so each has as much of beginnings and ends as of events."""
        if self.events:
            length_s = (self.events - 1) * self.gap_us / 1e6
            plan = load.Plan(self.connections, length_s, warmup_s=1.25 * length_s, stagger_us=self.gap_us)
            return [plan] * max(round(seconds / length_s), 1)
        plans = [load.Plan(self.connections, seconds / count, warmup_s=0.2)] * count
        return [replace(plans[0], warmup_s=1.0), *plans[1:]]

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
class Running:
    """A contender with a provider of its own, under one load."""

    contender: Contender
    proxy: Proxy
    provided: provider.Provider
    request: Path


@dataclass(frozen=True, slots=True)
class Bench:
    tools: native_tools.NativeTools
    directory: Path
    seconds: float
    turns: int

    def round(
        self, spec: Load, contenders: Sequence[Contender], number: int, order: random.Random
    ) -> list[Run]:
        """All contenders at once, loaded in turns: within seconds the machine's speed may be another."""
        with ExitStack() as stack:
            running = [
                stack.enter_context(self._start(spec, contender, number))
                for contender in order.sample(contenders, len(contenders))
            ]
            windows: dict[Contender, list[Window]] = {each.contender: [] for each in running}
            for turn, plan in enumerate(spec.turns(self.seconds, self.turns)):
                for each in order.sample(running, len(running)):
                    windows[each.contender].append(self._window(plan, each, turn))
            at_rate = spec.at_rate(self.seconds)
            return [
                self._finish(spec, each, windows[each.contender], at_rate)
                for each in order.sample(running, len(running))
            ]

    def _finish(self, spec: Load, running: Running, closed: list[Window], at_rate: load.Plan | None) -> Run:
        timed = self._window(at_rate, running, self.turns) if at_rate else None
        seen, own = running.provided.stop(), running.proxy.gateway
        recorded = own.recorded(expected=seen.requests) if own else None
        return Run(running.contender, spec.name, Window.over(closed), timed, seen, recorded)

    @contextmanager
    def _start(self, spec: Load, contender: Contender, number: int) -> Generator[Running]:
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
            yield Running(contender, proxy, provided, request)

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

    def _window(self, plan: load.Plan, running: Running, turn: int) -> Window:
        proxy, provider_pid = running.proxy, running.provided.pid
        clocks = lambda: Clocks.read(proxy.pid, provider_pid, proxy.others, PROXY_CORE, OTHER_CORE)  # noqa: E731
        measured = load.run(
            self.tools,
            plan,
            request=running.request,
            port=proxy.port,
            core=OTHER_CORE,
            clocks=clocks,
            first_number=turn * NUMBERS_PER_TURN,
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
        bench = Bench(native_tools.build(Path(directory)), Path(directory), options.seconds, options.turns)
        runs = list(_rounds(bench, loads, options.contenders, options.rounds, random.Random(options.seed)))
    result = report.summarise(
        runs, rounds=options.rounds, seconds=options.seconds, turns=options.turns, seed=options.seed
    )
    print(report_table.table(result))
    if options.json:
        options.json.write_bytes(msgspec.json.format(msgspec.json.encode(result)) + b"\n")
    return 1 if result.faults or (options.enforce and not result.within_limits) else 0


def _rounds(
    bench: Bench, loads: list[Load], contenders: list[Contender], rounds: int, order: random.Random
) -> Iterator[Run]:
    for number in range(rounds):
        for spec in order.sample(loads, len(loads)):
            for run in bench.round(spec, contenders, number, order):
                print(f"round {number + 1}/{rounds} {run.line()}", file=sys.stderr, flush=True)
                yield run


def _options(arguments: list[str] | None) -> argparse.Namespace:
    names = [spec.name for spec in LOADS]
    parser = argparse.ArgumentParser(prog="python -m benchmarks.data_plane", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="runs of each contender; the median counts")
    parser.add_argument("--seconds", type=float, default=3.0, help="length of what is measured in each round")
    parser.add_argument("--turns", type=int, default=6, help="in how many turns with the other contenders")
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
