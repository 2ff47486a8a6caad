"""The same promises in a real Redis, shared by several stores as by several workers."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

import pytest
from tests.redis_server import RedisServer, stand_in, start_redis

from byline.budgets.counters import CountersUnavailable, Reserved
from byline.budgets.limits import Period
from byline.budgets.periods import window_at
from byline.budgets.redis_address import parse_address
from byline.budgets.redis_link import RedisLink
from byline.budgets.redis_scripts import SETTLE, TIDY
from byline.budgets.redis_store import RedisCounters

NOW = time.time()
FAR = 4_000_000_000.0
TODAY = window_at("day", NOW).name


ODD_ANSWERS = (
    b"+OK",
    b":5",
    b"$-1",
    b"*0",
    b"*1\r\n:0",
    b"*2\r\n+a\r\n+b",
    b"*2\r\n:1\r\n:0",
    b"*3\r\n:9\r\n:1\r\n:1",
)
"""What RESERVE never returns, such as the answer to another script."""


class Limit(NamedTuple):
    counter: str
    period: Period | None
    limit: int
    is_hard: bool = True


Part = tuple[Limit, int]


def money(amount: int, limit: int, *, hard: bool = True) -> Part:
    return Limit("usd:user:ada", "day", limit, hard), amount


def per_minute(amount: int, limit: int) -> Part:
    return Limit("rpm:user:ada", "minute", limit), amount


def at_once(limit: int) -> Part:
    return Limit("concurrency:user:ada", None, limit), 1


async def reserve(store: RedisCounters, name: str, parts: list[Part]) -> Reserved:
    return await store.reserve(name, [limit for limit, _ in parts], [amount for _, amount in parts], NOW)


def settle(store: RedisCounters, name: str, parts: list[Part], actual: list[int]) -> None:
    store.settle(name, [limit for limit, _ in parts], [amount for _, amount in parts], actual, NOW)


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
                    *(reserve(workers[n % 4], f"{hold[0].counter}{n}", [hold]) for n in range(200))
                )
                assert sum(result.refused is None for result in results) == 10

    asyncio.run(scenario())


def test_settling_replaces_the_reservation_by_the_real_use(redis_server: RedisServer) -> None:
    async def scenario() -> None:
        async with stores(redis_server, 2) as (one, other):
            holds = [money(60, 100), per_minute(20, 100), at_once(1)]
            assert (await reserve(one, "r1", holds)).refused is None
            assert await kept(other) == {
                "usd:user:ada": (0, 60),
                "rpm:user:ada": (20, 0),
                "concurrency:user:ada": (0, 1),
            }
            refused = await reserve(other, "r2", holds)
            assert (refused.refused, list(refused.used_before)) == (0, [60])
            settle(one, "r1", holds, [10, 3, 0])
            await one.states()
            assert await kept(other) == {"usd:user:ada": (10, 0), "rpm:user:ada": (3, 0)}

    asyncio.run(scenario())


def test_a_dead_workers_reservations_end_with_their_lease(redis_server: RedisServer) -> None:
    async def scenario() -> None:
        async with stores(redis_server, 2, lease_s=0.3) as (alive, dead):
            holds = [money(60, 100), per_minute(20, 30), at_once(1)]
            await reserve(dead, "r1", holds)
            assert (await reserve(alive, "r2", holds)).refused == 0
            await asyncio.sleep(0.35)
            reserved = await reserve(alive, "r2", holds)
            assert (reserved.refused, list(reserved.used_before)) == (None, [0, 0, 0])

    asyncio.run(scenario())


def test_a_renewed_lease_holds_and_late_use_still_counts(redis_server: RedisServer) -> None:
    async def scenario() -> None:
        async with stores(redis_server, 1, lease_s=0.4) as (store,):
            await reserve(store, "r1", [money(60, 100)])
            for _ in range(3):
                await asyncio.sleep(0.2)
                store.renew()
            assert await kept(store) == {"usd:user:ada": (0, 60)}
            await asyncio.sleep(0.45)
            assert (await kept(store)).get("usd:user:ada") in {None, (0, 0)}
            settle(store, "r1", [money(60, 100)], [25])
            await store.states()
            assert await kept(store) == {"usd:user:ada": (25, 0)}

    asyncio.run(scenario())


def test_a_refused_minute_says_when_there_is_room(redis_server: RedisServer) -> None:
    async def scenario() -> None:
        async with stores(redis_server) as (store,):
            await reserve(store, "r1", [per_minute(10, 10)])
            refused = await reserve(store, "r2", [per_minute(1, 10)])
            assert refused.refused == 0
            assert 55 < refused.retry_after_s <= 60

    asyncio.run(scenario())


def test_soft_holds_never_refuse(redis_server: RedisServer) -> None:
    async def scenario() -> None:
        async with stores(redis_server) as (store,):
            for number in range(3):
                reserved = await reserve(store, str(number), [money(60, 100, hard=False)])
                assert (reserved.refused, list(reserved.used_before)) == (None, [60 * number])

    asyncio.run(scenario())


def test_a_seed_does_not_touch_a_sum_that_is_counted(redis_server: RedisServer) -> None:
    async def scenario() -> None:
        async with stores(redis_server) as (store,):
            await store.seed([("usd:user:ada", TODAY, 70, FAR)])
            await store.seed([("usd:user:ada", TODAY, 99, FAR)])
            assert await kept(store) == {"usd:user:ada": (70, 0)}

    asyncio.run(scenario())


def test_flushed_scripts_are_loaded_again(redis_server: RedisServer) -> None:
    async def scenario() -> None:
        async with stores(redis_server) as (store,):
            await reserve(store, "r1", [at_once(5)])
            await store._link.command("SCRIPT", "FLUSH")  # what a restart of the server does
            assert (await reserve(store, "r2", [at_once(5)])).used_before == [1]

    asyncio.run(scenario())


def test_a_server_that_is_gone_is_said_at_once_and_settlements_are_kept(tmp_path) -> None:
    async def scenario() -> None:
        server = start_redis(tmp_path)
        async with stores(server) as (store,):
            await reserve(store, "r1", [money(60, 100)])
            server.process.kill()
            server.process.wait()
            with pytest.raises(CountersUnavailable):
                await reserve(store, "r2", [money(1, 100)])
            assert store.trouble
            settle(store, "r1", [money(60, 100)], [10])
            with pytest.raises(CountersUnavailable):
                await store.states()
            # It can't be known that the server was gone before it had read the second.
            assert sorted(each.reservation for each in store._unsettled) == ["r1", "r2"]

    asyncio.run(scenario())


def test_a_reservation_whose_caller_left_before_the_answer_is_given_back(redis_server: RedisServer) -> None:
    async def scenario() -> None:
        async with stores(redis_server) as (store,):
            await reserve(store, "r1", [at_once(2)])
            await store._link.ask(SETTLE, [store._prefix, "nobody's", 1, 0])  # known to the server
            leaving = asyncio.ensure_future(reserve(store, "r2", [at_once(2)]))
            await asyncio.sleep(0)
            leaving.cancel()
            with pytest.raises(asyncio.CancelledError):
                await leaving
            assert (await reserve(store, "r3", [at_once(2)])).used_before == [1]

    asyncio.run(scenario())


def test_a_settlement_cut_off_on_the_way_is_counted_once(redis_server: RedisServer) -> None:
    async def scenario() -> None:
        async with stores(redis_server) as (store,):
            await reserve(store, "r1", [money(60, 100)])
            settle(store, "r1", [money(60, 100)], [10])
            connection = store._link._connection
            assert connection is not None
            connection.close()
            await store._link.ask(TIDY, [store._prefix])
        async with stores(redis_server) as (other,):
            other._prefix = store._prefix
            assert await kept(other) == {"usd:user:ada": (10, 0)}

    asyncio.run(scenario())


def test_sums_of_minutes_forget_what_is_older_than_sixty_seconds(redis_server: RedisServer) -> None:
    async def scenario() -> None:
        async with stores(redis_server) as (store,):
            second = int((await store._link.command("TIME"))[0])
            key = f"{store._prefix}:m:rpm:user:ada"
            old, recent = second - 62, second - 30
            await store._link.command("HSET", key, "first", old, "total", 9, old, 5, recent, 4)
            refused = await reserve(store, "r1", [per_minute(7, 10)])
            assert (refused.refused, list(refused.used_before)) == (0, [4])
            assert 25 < refused.retry_after_s <= 31
            assert (await reserve(store, "r2", [per_minute(6, 10)])).used_before == [4]
            await store._link.command("HSET", key, "first", second - 200)
            assert (await reserve(store, "r3", [per_minute(10, 10)])).used_before == [0]

    asyncio.run(scenario())


def test_sums_of_sixteen_digits_are_exact(redis_server: RedisServer) -> None:
    async def scenario() -> None:
        async with stores(redis_server) as (store,):
            huge = 2**53 - 1
            holds = [money(huge - 1, huge), per_minute(huge - 2, huge)]
            assert (await reserve(store, "r1", holds)).refused is None
            assert await kept(store) == {"usd:user:ada": (0, huge - 1), "rpm:user:ada": (huge - 2, 0)}
            assert (await reserve(store, "r2", [money(1, huge)])).used_before == [huge - 1]
            refused = await reserve(store, "r3", [money(1, huge)])
            assert (refused.refused, list(refused.used_before)) == (0, [huge])
            settle(store, "r1", holds, [huge - 3, huge - 4])
            await store.states()
            assert await kept(store) == {"usd:user:ada": (huge - 3, 1), "rpm:user:ada": (huge - 4, 0)}

    asyncio.run(scenario())


def test_an_enormous_amount_is_given_up_like_any_other(redis_server: RedisServer) -> None:
    async def scenario() -> None:
        async with stores(redis_server, 1, lease_s=0.2) as (store,):
            enormous = 7 * 10**17
            tokens = (Limit("tpm:user:ada", "minute", 10, False), enormous)
            await reserve(store, "r1", [tokens, money(enormous, 10, hard=False)])
            assert await kept(store) == {"tpm:user:ada": (enormous, 0), "usd:user:ada": (0, enormous)}
            await asyncio.sleep(0.25)
            assert (await reserve(store, "r2", [at_once(1)])).refused is None
            assert await kept(store) == {"tpm:user:ada": (0, 0), "concurrency:user:ada": (0, 1)}

    asyncio.run(scenario())


def test_a_reservation_asked_for_again_does_not_count_itself(redis_server: RedisServer) -> None:
    async def scenario() -> None:
        async with stores(redis_server) as (store,):
            holds = [money(60, 100), per_minute(20, 100), at_once(1)]
            await reserve(store, "r1", holds)
            again = await reserve(store, "r1", holds)
            assert (again.refused, list(again.used_before)) == (None, [0, 0, 0])

    asyncio.run(scenario())


@pytest.mark.parametrize("answer", ODD_ANSWERS)
def test_an_answer_to_something_else_is_no_reservation(answer: bytes) -> None:
    async def scenario() -> None:
        async def odd(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while await reader.read(65536):
                writer.write(answer + b"\r\n")
                await writer.drain()

        async with stand_in(odd) as url:
            store = RedisCounters(url, timeout_s=5.0)
            with pytest.raises(CountersUnavailable, match="something else"):
                await reserve(store, "r1", [money(60, 100)])
            assert not store._link._connection.is_open  # pyright: ignore[reportOptionalMemberAccess]
            await store.close()

    asyncio.run(scenario())


def test_use_that_could_not_be_sent_counts_after_the_lease_has_ended(
    tmp_path: Path, redis_server: RedisServer
) -> None:
    async def scenario() -> None:
        async with stores(redis_server, 1, lease_s=0.3) as (store,):
            await reserve(store, "r1", [money(60, 100)])
            there, store._link = store._link, RedisLink(parse_address(f"unix://{tmp_path}/none"), 5.0)
            settle(store, "r1", [money(60, 100)], [25])
            await store._link.close()
            store._link = there
            await asyncio.sleep(0.35)
            store._unsettled = [each._replace(give_up_at=float("inf")) for each in store._unsettled]
            store.renew()
            await store.states()
            assert await kept(store) == {"usd:user:ada": (25, 0)}

    asyncio.run(scenario())


def test_a_reservation_that_was_cut_off_before_its_answer_is_given_back(redis_server: RedisServer) -> None:
    async def scenario() -> None:
        async def keep_the_answer(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
            there, to_redis = await asyncio.open_connection("127.0.0.1", redis_server.port)
            to_redis.write(await reader.read(65536))
            await there.read(1)
            to_redis.close()
            await to_redis.wait_closed()

        async with stores(redis_server) as (store,):
            there = store._link
            await reserve(store, "known", [at_once(2)])  # so that the server has the script
            async with stand_in(keep_the_answer) as url:
                store._link = RedisLink(parse_address(url), 5.0)
                with pytest.raises(CountersUnavailable, match="ConnectionResetError"):
                    await reserve(store, "r1", [at_once(2), money(60, 100)])
                await store._link.close()
            store._link = there
            store.renew()
            assert await kept(store) == {"concurrency:user:ada": (0, 1), "usd:user:ada": (0, 0)}

    asyncio.run(scenario())
