"""What holding budgets adds to a request: with counters in the worker, and with Redis on this machine.

The local figures are CPU of one core, for a caller with a money budget, two rates and a concurrency limit. The Redis figures are how long a request waits to be admitted
at a fixed rate: one at a time, and some at once. Exits 1 over the budgets of 10 us, and of 1 ms for one at a time.
"""

from __future__ import annotations

import argparse
import asyncio
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Generator
from contextlib import contextmanager
from datetime import UTC, datetime
from statistics import median, quantiles
from types import SimpleNamespace
from typing import Any, cast

import uvloop

from benchmarks.processes import prioritise
from byline.budgets.book import BudgetBook
from byline.budgets.counters import LocalStore, SharedStore
from byline.budgets.estimate import Estimator
from byline.budgets.limits import Budget
from byline.budgets.local import LocalCounters
from byline.budgets.redis_store import RedisCounters
from byline.gateway.budgets import BudgetGate, BudgetOptions
from byline.gateway.exchange import Clock, Exchange, Tally
from byline.identity.model import Actor, Attribution, Claims
from byline.usage.record import UsageRecord

MOST_LOCAL_US, MOST_REDIS_P99_MS = 10.0, 1.0
AT_ONCE = 4
CALLERS = 64
CLOCK = Clock(wall=time.time, monotonic=time.monotonic)
PLENTY = 2**52
BUDGETS = (
    Budget(scope="user", name="*", kind="usd_per_day", amount=PLENTY),
    Budget(scope="user", name="*", kind="requests_per_minute", amount=PLENTY),
    Budget(scope="team", name="core", kind="tokens_per_minute", amount=PLENTY),
    Budget(scope="all", kind="concurrency", amount=PLENTY),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=100_000)
    parser.add_argument("--rate", type=float, default=500.0, help="Redis: requests a second")
    parser.add_argument("--seconds", type=float, default=10.0, help="Redis: how long")
    arguments = parser.parse_args()
    prioritise(-20)
    good = _report_local(arguments.requests)
    if shutil.which("redis-server") is None:
        print("redis   not measured: no redis-server here (apt-get install redis-server)")
    else:
        good = _report_redis(arguments.rate, arguments.seconds) and good
    sys.exit(0 if good else 1)


def _report_local(requests: int) -> bool:
    rounds = [_local_us(requests // 5) for _ in range(5)]
    for name, found in zip(("admission", "settlement"), zip(*rounds, strict=True), strict=True):
        print(
            f"local   {name:<10} {median(found):6.2f} us of CPU (5 rounds: {min(found):.2f} to {max(found):.2f})"
        )
    return median(admission for admission, _ in rounds) < MOST_LOCAL_US


def _report_redis(rate: float, seconds: float) -> bool:
    good = True
    for at_once in (1, AT_ONCE):
        waits_ms = uvloop.run(_redis_waits_ms(rate, seconds, at_once))
        cuts = quantiles(waits_ms, n=1000)
        p50, p99, p999 = cuts[499], cuts[989], cuts[998]
        print(
            f"redis   admission waits p50 {p50:.3f} ms, p99 {p99:.3f} ms, p99.9 {p999:.3f} ms at {rate:.0f}/s, "
            f"{at_once} at once, {len(waits_ms)} requests"
        )
        good = good and (at_once > 1 or p99 < MOST_REDIS_P99_MS)
    return good


def _local_us(requests: int) -> tuple[float, float]:
    """Admission and settlement, timed in blocks, so that reading the clock costs next to nothing."""
    gate = _gate(local=LocalCounters())
    exchanges = [_exchange(number) for number in range(CALLERS)]
    record = _record()
    admission = settlement = 0.0
    blocks = requests // CALLERS
    for _ in range(blocks):
        began = time.process_time()
        for exchange in exchanges:
            gate.admit(exchange)
        admitted = time.process_time()
        for exchange in exchanges:
            gate.settle(exchange, record, sent=True)
        admission += admitted - began
        settlement += time.process_time() - admitted
    per_request_us = 1e6 / (blocks * CALLERS)
    return admission * per_request_us, settlement * per_request_us


async def _redis_waits_ms(rate: float, seconds: float, at_once: int) -> list[float]:
    waits: list[float] = []
    with _redis() as port:
        store = RedisCounters(f"redis://127.0.0.1:{port}/0", prefix=uuid.uuid4().hex)
        gate = _gate(shared=store)
        record = _record()

        async def one(number: int) -> None:
            exchange = _exchange(number)
            began = time.perf_counter()
            waiting = gate.admit(exchange)
            assert waiting is not None
            await waiting
            waits.append((time.perf_counter() - began) * 1000)
            gate.settle(exchange, record, sent=True)

        for number in range(100):  # connection and scripts
            await one(number)
        waits.clear()
        await _at_rate(one, rate, seconds, at_once)
        await store.close()
    return waits


async def _at_rate(one: Any, rate: float, seconds: float, at_once: int = 1) -> None:
    began = time.perf_counter()
    tasks: list[asyncio.Task[None]] = []
    for number in range(0, int(rate * seconds), at_once):
        await asyncio.sleep(max(began + number / rate - time.perf_counter(), 0))
        tasks += [asyncio.ensure_future(one(number + each)) for each in range(at_once)]
    await asyncio.gather(*tasks)


@contextmanager
def _redis() -> Generator[int]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
    with tempfile.TemporaryDirectory() as directory:
        command = [
            "redis-server",
            "--port",
            str(port),
            "--bind",
            "127.0.0.1",
            "--save",
            "",
            "--dir",
            directory,
        ]
        server = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        try:
            _wait_for(port)
            yield port
        finally:
            server.terminate()
            server.wait()


def _wait_for(port: int) -> None:
    deadline = time.monotonic() + 10
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.01)
        else:
            return


def _gate(local: LocalStore | None = None, shared: SharedStore | None = None) -> BudgetGate:
    gate = BudgetGate(
        local=local,
        shared=shared,
        estimator=Estimator(_rates),
        cost_of=_cost,
        contact_for=_contact,
        tally=Tally(),
        options=BudgetOptions(),
    )
    gate.book = BudgetBook(BUDGETS)
    return gate


def _rates(provider: str, model: str) -> tuple[float, float]:
    return (3.0, 15.0) if provider == "anthropic" and model else (1.0, 5.0)


def _contact(budget: Budget, entity: str) -> str:
    return budget.contact or entity


def _cost(record: UsageRecord) -> int:
    return 1234 if record.usage_complete else 0


def _exchange(number: int) -> Exchange:
    """Only what admission and settlement look at."""
    actor = Actor(f"act_{number % CALLERS}", f"user{number % CALLERS}", team="core")
    attribution = Attribution(
        actor=actor,
        subject=actor,
        job="nightly",
        claims=Claims(),
        auth_source="key",
        key_id=f"key{number % CALLERS}",
    )
    route = SimpleNamespace(
        api=SimpleNamespace(identity_field="metadata.user_id"), provider=SimpleNamespace(name="anthropic")
    )
    stand_in = SimpleNamespace(
        required_route=route,
        attribution=attribution,
        required_facts=SimpleNamespace(model="claude-sonnet-4-6", max_output_tokens=4096),
        clock=CLOCK,
        exchange_id=str(uuid.uuid4()),
        body_length=2048,
        pays_itself=False,
        family="anthropic",
        reservation=None,
    )
    return cast("Exchange", stand_in)


def _record() -> UsageRecord:
    return UsageRecord(
        request_id="r", exchange_id="e", started_at=datetime.now(UTC), provider="anthropic", api="messages",
        outcome="ok", usage_complete=True, input_uncached_tokens=600, input_tokens=600, output_tokens=200,
    )  # fmt: skip


if __name__ == "__main__":
    main()
