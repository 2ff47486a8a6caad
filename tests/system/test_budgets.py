"""Budgets that hold: many requests at once, several workers, crashes, restarts and hang-ups."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.conftest import PROVIDER_KEYS
from tests.redis_server import start_redis
from tests.system.children import worker_pid

from byline.assembly.budget_prices import BudgetPrices
from byline.budgets.estimate import Estimator
from byline.budgets.limits import usd
from byline.control.database import open_control
from byline.control.keys import create_key
from byline.settings import load
from byline.testing import SimulatedProvider
from byline.testing.gateway_process import GatewayProcess

MODEL = "claude-sonnet-4-6"
BODY = json.dumps(
    {"model": MODEL, "max_tokens": 2000, "messages": [{"role": "user", "content": "hello " * 50}]}
).encode()
BURST = 200


class Desk:
    """One gateway with its provider; `options` are further lines of the settings file."""

    def __init__(self, directory: Path, provider: SimulatedProvider, options: str = "") -> None:
        self.directory = directory
        self.provider = provider
        self.config = directory / "byline.toml"
        self.data_dir = directory / "data"
        self.data_dir.mkdir(mode=0o700, exist_ok=True)
        providers = "".join(
            f'[providers.{name}]\nbase_url = "{provider.base_url}"\n' for name in ("anthropic", "openai")
        )
        head = 'gateway.port = 0\nconsole.port = 0\nkeys.poll_interval = "50ms"\n'
        self.config.write_text(f'data_dir = "{self.data_dir}"\n{head}{options}\n{providers}')
        self.keys: dict[str, str] = {}

    def key(self, user: str, **more: Any) -> str:
        if user not in self.keys:
            with open_control(self.data_dir / "control.sqlite3") as database:
                self.keys[user] = create_key(database, user, **more).text
        return self.keys[user]

    def run(self) -> GatewayProcess:
        return GatewayProcess(self.config, environ=PROVIDER_KEYS)

    def cli(self, *arguments: str) -> list[dict[str, Any]]:
        command = [
            sys.executable,
            "-m",
            "byline.cli",
            *arguments,
            "--config",
            str(self.config),
            "--format",
            "json",
        ]
        return json.loads(subprocess.check_output(command, timeout=60))

    def status(self, kind: str, user: str) -> dict[str, Any]:
        (row,) = [row for row in self.cli("budgets", "status") if (row["limit"], row["name"]) == (kind, user)]
        return row

    def seen_of(self, user: str) -> int:
        """How many requests of that user's key reached the provider."""
        return sum(f"for {user}".encode() in seen.body for seen in self.provider.requests)


@pytest.fixture
def provider() -> Iterator[SimulatedProvider]:
    with SimulatedProvider(api_keys=PROVIDER_KEYS.values()) as running:
        yield running


def body_of(user: str) -> bytes:
    """Bodies of the same length for all users of a test."""
    return BODY.replace(b"hello hello", f"for {user:<7}".encode())


def reservation_of_one() -> int:
    """What the first request of a fresh worker reserves, in millionths of a dollar."""
    prices = BudgetPrices(load(None, {}))
    prices.load()
    return Estimator(prices.rates_of).estimate("anthropic", MODEL, len(BODY), 2000).micros


async def _burst(url: str, keys: dict[str, str], count: int) -> Counter[tuple[str, int]]:
    limits = httpx.Limits(max_connections=None)
    async with httpx.AsyncClient(base_url=url, limits=limits, timeout=60) as client:

        async def send(user: str) -> tuple[str, int]:
            answer = await client.post(
                "/v1/messages", content=body_of(user), headers={"x-api-key": keys[user]}
            )
            return user, answer.status_code

        return Counter(await asyncio.gather(*(send(user) for user in keys for _ in range(count))))


@contextmanager
def counters(workers: int, directory: Path) -> Iterator[str]:
    if workers == 1:
        yield ""
        return
    server = start_redis(directory)
    try:
        yield f'gateway.workers = {workers}\ncounters.url = "{server.url}"\ncounters.timeout = "5s"\n'
    finally:
        server.process.terminate()
        server.process.wait(10)


@pytest.mark.parametrize("workers", [1, 4])
def test_of_two_hundred_at_once_exactly_ten_reach_the_provider(
    workers: int, tmp_path: Path, provider: SimulatedProvider
) -> None:
    limit = usd(reservation_of_one() * 21 // 2)
    assert len(body_of("ada")) == len(body_of("bob")) == len(BODY)
    budgets = f'[budgets.rate]\nuser = "ada"\nrequests_per_minute = 10\n[budgets.money]\nuser = "bob"\nusd_per_month = "{limit}"\n'
    with counters(workers, tmp_path) as options:
        desk = Desk(tmp_path, provider, options + budgets)
        keys = {user: desk.key(user) for user in ("ada", "bob")}
        provider.simulate("first-byte=4s", times=20)  # all two hundred are decided before one is settled
        with desk.run() as gateway:
            outcomes = asyncio.run(_burst(gateway.base_url, keys, BURST))
    assert outcomes == {(user, status): n for user in keys for status, n in ((200, 10), (429, BURST - 10))}
    assert {user: desk.seen_of(user) for user in keys} == {"ada": 10, "bob": 10}


def test_use_before_a_restart_counts_after_it_also_when_killed(
    tmp_path: Path, provider: SimulatedProvider
) -> None:
    desk = Desk(
        tmp_path, provider, '[budgets.each]\nuser = "*"\nusd_per_month = 5\nrequests_per_minute = 3\n'
    )
    key = desk.key("ada")
    with desk.run() as gateway:
        assert post(gateway.base_url, key).status_code == 200
        assert post(gateway.base_url, key).status_code == 200
        before = wait_for(lambda: desk.status("usd_per_month", "ada"), lambda row: row["reserved"] == "0")
        kill_worker(gateway)
        assert wait_for(lambda: answered(gateway.base_url, key), bool)
        assert post(gateway.base_url, key).status_code == 429  # two before the crash, one after it
        after = wait_for(
            lambda: desk.status("usd_per_month", "ada"),
            lambda row: Decimal(row["used"]) > Decimal(before["used"]),
        )
        assert Decimal(after["used"]) == Decimal(before["used"]) * 3 / 2
    assert Decimal(desk.status("usd_per_month", "ada")["used"]) == pytest.approx(
        Decimal(after["used"]), abs=Decimal("0.00001")
    )


def test_hanging_up_saves_nothing(tmp_path: Path, provider: SimulatedProvider) -> None:
    desk = Desk(
        tmp_path, provider, 'upstream.drain_timeout = 0\n[budgets.each]\nuser = "ada"\nusd_per_day = 1\n'
    )
    key = desk.key("ada")
    provider.simulate("first-byte=30s")
    with desk.run() as gateway:
        host, port = gateway.base_url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port))) as client:
            head = f"POST /v1/messages HTTP/1.1\r\nHost: g\r\nx-api-key: {key}\r\nContent-Length: {len(BODY)}\r\n\r\n"
            client.sendall(head.encode() + BODY)
            wait_for(lambda: len(provider.requests), bool)
            held = wait_for(
                lambda: desk.status("usd_per_day", "ada"), lambda row: Decimal(row["reserved"]) > 0
            )
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # a reset
        used = wait_for(lambda: desk.status("usd_per_day", "ada"), lambda row: Decimal(row["used"]) > 0)
    assert used["used"] == held["reserved"] == str(usd(reservation_of_one()))


def test_several_workers_without_a_store_are_refused_at_start(
    tmp_path: Path, provider: SimulatedProvider
) -> None:
    desk = Desk(tmp_path, provider, 'gateway.workers = 2\n[budgets.each]\nuser = "*"\nusd_per_day = 5\n')
    command = [sys.executable, "-m", "byline.cli", "serve", "--config", str(desk.config)]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=30, env={**os.environ, **PROVIDER_KEYS}
    )
    assert done.returncode == 1
    assert "counters.url" in done.stderr
    assert "usd_per_day" in done.stderr


def post(url: str, key: str, path: str = "/v1/messages", body: bytes = BODY) -> httpx.Response:
    return httpx.post(f"{url}{path}", content=body, headers={"x-api-key": key}, timeout=30)


def answered(url: str, key: str) -> bool:
    try:
        return post(url, key).status_code == 200
    except httpx.TransportError:
        return False


def kill_worker(gateway: GatewayProcess) -> None:
    worker = worker_pid(gateway.pid)
    assert worker is not None
    os.kill(worker, signal.SIGKILL)


def wait_for(look: Any, good: Any, timeout_s: float = 15.0) -> Any:
    deadline = time.monotonic() + timeout_s
    while not good(found := look()):
        assert time.monotonic() < deadline, json.dumps(found, default=str)
        time.sleep(0.02)
    return found
