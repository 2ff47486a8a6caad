"""The same promises in a real Redis, shared by several stores as by several workers."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import pytest
from tests.redis_server import RedisServer, start_redis

from byline.budgets.counters import CountersUnavailable, Hold
from byline.budgets.redis_store import RedisCounters

FAR = 4_000_000_000.0
Run = Callable[[Coroutine[Any, Any, None]], None]


def money(amount: int, limit: int, *, hard: bool = True) -> Hold:
    return Hold("usd:user:ada", "day", "2026-11-21", FAR, amount, limit, hard)


def per_minute(amount: int, limit: int) -> Hold:
    return Hold("rpm:user:ada", "minute", "", 0.0, amount, limit, True)


def at_once(limit: int) -> Hold:
    return Hold("concurrency:user:ada", None, "", 0.0, 1, limit, True)


@asynccontextmanager
async def stores(
    server: RedisServer, count: int = 1, lease_s: float = 60.0
) -> AsyncIterator[list[RedisCounters]]:
    prefix = uuid.uuid4().hex
    opened = [RedisCounters(server.url, prefix=prefix, lease_s=lease_s, timeout_s=5.0) for _ in range(count)]
    try:
        yield opened
    finally:
        for store in opened:
            await store.close()


async def kept(store: RedisCounters) -> dict[str, tuple[int, int]]:
    return {state.counter: (state.used, state.held) for state in await store.states()}


def test_two_hundred_at_once_over_four_workers_reserve_exactly_what_fits(redis_server: RedisServer) -> None:
    async def scenario() -> None:
        async with stores(redis_server, 4) as workers:
            for hold in (money(10, 109), per_minute(1, 10), at_once(10)):
                results = await asyncio.gather(
                    *(workers[n % 4].reserve(f"{hold.counter}{n}", [hold], 0.0) for n in range(200))
                )
                assert sum(result.refused is None for result in results) == 10

    asyncio.run(scenario())


def test_settling_replaces_the_reservation_by_the_real_use(redis_server: RedisServer) -> None:
    async def scenario() -> None:
        async with stores(redis_server, 2) as (one, other):
            holds = [money(60, 100), per_minute(20, 100), at_once(1)]
            assert (await one.reserve("r1", holds, 0.0)).refused is None
            assert await kept(other) == {
                "usd:user:ada": (0, 60),
                "rpm:user:ada": (20, 0),
                "concurrency:user:ada": (0, 1),
            }
            refused = await other.reserve("r2", holds, 0.0)
            assert (refused.refused, list(refused.used_before)) == (0, [60])
            one.settle("r1", holds, [10, 3, 0], 0.0)
            await one.states()
            assert await kept(other) == {"usd:user:ada": (10, 0), "rpm:user:ada": (3, 0)}

    asyncio.run(scenario())


def test_a_dead_workers_reservations_end_with_their_lease(redis_server: RedisServer) -> None:
    async def scenario() -> None:
        async with stores(redis_server, 2, lease_s=0.3) as (alive, dead):
            holds = [money(60, 100), per_minute(20, 30), at_once(1)]
            await dead.reserve("r1", holds, 0.0)
            assert (await alive.reserve("r2", holds, 0.0)).refused == 0
            await asyncio.sleep(0.35)
            reserved = await alive.reserve("r2", holds, 0.0)
            assert (reserved.refused, list(reserved.used_before)) == (None, [0, 0, 0])

    asyncio.run(scenario())


def test_a_renewed_lease_holds_and_late_use_still_counts(redis_server: RedisServer) -> None:
    async def scenario() -> None:
        async with stores(redis_server, 1, lease_s=0.4) as (store,):
            await store.reserve("r1", [money(60, 100)], 0.0)
            for _ in range(3):
                await asyncio.sleep(0.2)
                store.renew()
            assert await kept(store) == {"usd:user:ada": (0, 60)}
            await asyncio.sleep(0.45)
            assert (await kept(store))["usd:user:ada"] == (0, 0) if await kept(store) else True
            store.settle("r1", [money(60, 100)], [25], 0.0)
            await store.states()
            assert await kept(store) == {"usd:user:ada": (25, 0)}

    asyncio.run(scenario())


def test_a_refused_minute_says_when_there_is_room(redis_server: RedisServer) -> None:
    async def scenario() -> None:
        async with stores(redis_server) as (store,):
            await store.reserve("r1", [per_minute(10, 10)], 0.0)
            refused = await store.reserve("r2", [per_minute(1, 10)], 0.0)
            assert refused.refused == 0
            assert 55 < refused.retry_after_s <= 60

    asyncio.run(scenario())


def test_soft_holds_never_refuse(redis_server: RedisServer) -> None:
    async def scenario() -> None:
        async with stores(redis_server) as (store,):
            for number in range(3):
                reserved = await store.reserve(str(number), [money(60, 100, hard=False)], 0.0)
                assert (reserved.refused, list(reserved.used_before)) == (None, [60 * number])

    asyncio.run(scenario())


def test_a_seed_does_not_touch_a_sum_that_is_counted(redis_server: RedisServer) -> None:
    async def scenario() -> None:
        async with stores(redis_server) as (store,):
            await store.seed([("usd:user:ada", "2026-11-21", 70, FAR)])
            await store.seed([("usd:user:ada", "2026-11-21", 99, FAR)])
            assert await kept(store) == {"usd:user:ada": (70, 0)}

    asyncio.run(scenario())


def test_flushed_scripts_are_loaded_again(redis_server: RedisServer) -> None:
    async def scenario() -> None:
        async with stores(redis_server) as (store,):
            await store.reserve("r1", [at_once(5)], 0.0)
            await store._client.script_flush()  # what a restart of the server does
            assert (await store.reserve("r2", [at_once(5)], 0.0)).used_before == [1]

    asyncio.run(scenario())


def test_a_server_that_is_gone_is_said_at_once_and_settlements_are_kept(tmp_path) -> None:
    async def scenario() -> None:
        server = start_redis(tmp_path)
        async with stores(server) as (store,):
            await store.reserve("r1", [money(60, 100)], 0.0)
            server.process.kill()
            server.process.wait()
            with pytest.raises(CountersUnavailable):
                await store.reserve("r2", [money(1, 100)], 0.0)
            assert store.trouble
            store.settle("r1", [money(60, 100)], [10], 0.0)
            with pytest.raises(CountersUnavailable):
                await store.states()
            assert [each.reservation for each in store._unsettled] == ["r1"]

    asyncio.run(scenario())
