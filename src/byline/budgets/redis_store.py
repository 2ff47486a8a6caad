"""Counters in Redis or Valkey, for gateways of several workers or machines.

All calls of one turn of the event loop travel in one pipeline. A server that is gone makes `reserve`
fail fast; what was to be settled meanwhile is tried again until its lease would have ended anyway.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import msgspec

from byline.budgets import redis_scripts as scripts
from byline.budgets.counters import CountedLimit, CounterState, CountersUnavailable, Reserved
from byline.budgets.periods import Calendar

log = logging.getLogger(__name__)
_encode = msgspec.json.Encoder().encode

KEPT_AFTER_END_S = 3600
"""How long a window's sum outlives it: answers that began in it still settle there."""
MAX_UNSETTLED = 10_000
_BATCH = 256


class _Call(NamedTuple):
    script: str
    arguments: Sequence[str | int]
    answer: asyncio.Future[Any] | None
    retry: _Settlement | None = None


class _Lane:
    """Calls that wait for a pipeline. What is asked never waits behind what is only told."""

    __slots__ = ("calls", "sender")

    def __init__(self) -> None:
        self.calls: list[_Call] = []
        self.sender: asyncio.Task[None] | None = None


class _Settlement(NamedTuple):
    reservation: str
    limits: Sequence[CountedLimit]
    amounts: Sequence[int]
    actual: Sequence[int]
    at: float
    give_up_at: float


class RedisCounters:
    """Belongs to one event loop. Call `renew` three times in each lease."""

    def __init__(
        self,
        url: str,
        *,
        prefix: str = "byline",
        lease_s: float = 60.0,
        timeout_s: float = 0.5,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = _connect(url, timeout_s)
        self._prefix = f"{{{prefix}}}"
        self._lease_s = lease_s
        self._timeout_s = timeout_s
        self._monotonic = monotonic
        self._calendar = Calendar()
        self._shas: dict[str, str] = {}
        self._asked, self._posted = _Lane(), _Lane()
        self._active: set[str] = set()
        self._unsettled: list[_Settlement] = []
        self.trouble: str | None = None
        """Why the store can't be asked; None while it answers."""

    async def reserve(
        self, reservation: str, limits: Sequence[CountedLimit], amounts: Sequence[int], now: float
    ) -> Reserved:
        arguments: list[str | int] = [self._prefix, reservation, round(self._lease_s * 1000), len(limits)]
        for each, amount in zip(limits, amounts, strict=True):
            window, forget_at_ms = self._window(each, now)
            limit = each.limit if each.is_hard else -1
            arguments += (each.counter, each.period or "", window, amount, limit, forget_at_ms)
        found = await self._ask(scripts.RESERVE, arguments)
        if found[0]:
            return Reserved(found[0] - 1, (found[1],), found[2] / 1000)
        self._active.add(reservation)
        return Reserved(None, found[1:])

    def settle(
        self,
        reservation: str,
        limits: Sequence[CountedLimit],
        amounts: Sequence[int],
        actual: Sequence[int],
        at: float,
    ) -> None:
        self._active.discard(reservation)
        settlement = _Settlement(reservation, limits, amounts, actual, at, self._monotonic() + self._lease_s)
        self._post(scripts.SETTLE, self._settle_arguments(settlement, repeated=False), settlement)

    def renew(self) -> None:
        """Keeps what is in flight, and tries again what could not be settled."""
        if self._active:
            lease_ms = round(self._lease_s * 1000)
            self._post(scripts.RENEW, [self._prefix, lease_ms, *sorted(self._active)])
        now, waiting = self._monotonic(), self._unsettled
        self._unsettled = []
        for settlement in waiting:
            if settlement.give_up_at > now:
                self._post(scripts.SETTLE, self._settle_arguments(settlement, repeated=True), settlement)

    async def seed(self, sums: Iterable[tuple[str, str, int, float]]) -> None:
        """(counter, window, used, end of the window): only for sums that nobody counts yet."""
        flat: list[str | int] = [self._prefix]
        for counter, window, used, ends_at in sums:
            flat += (counter, window, used, round((ends_at + KEPT_AFTER_END_S) * 1000))
        if len(flat) > 1:
            await self._ask(scripts.SEED, flat)

    async def states(self) -> list[CounterState]:
        """Every sum that is kept. Raises CountersUnavailable."""
        await self._ask(scripts.TIDY, [self._prefix])
        found: list[CounterState] = []
        try:
            async for key in self._client.scan_iter(match=f"{self._prefix}:c:*", count=500):
                found.append(await self._calendar_state(key))  # noqa: PERF401 - one by one as they come
            async for key in self._client.scan_iter(match=f"{self._prefix}:m:*", count=500):
                total = int(await self._client.hget(key, "total") or 0)
                found.append(CounterState(key.removeprefix(f"{self._prefix}:m:"), "", total, 0))
        except _errors() as error:
            raise CountersUnavailable(_reason(error)) from None
        return found

    async def close(self) -> None:
        """Sends what waits to be sent, then hangs up."""
        for lane in (self._asked, self._posted):
            if lane.sender is not None:
                await asyncio.wait([lane.sender], timeout=self._timeout_s * 2)
        await self._client.aclose()

    async def _calendar_state(self, key: str) -> CounterState:
        used, held = await self._client.hmget(key, "used", "held")
        counter, _, window = key.removeprefix(f"{self._prefix}:c:").rpartition(":")
        return CounterState(counter, window, int(used or 0), int(held or 0))

    def _settle_arguments(self, settlement: _Settlement, *, repeated: bool) -> list[str | int]:
        limits = settlement.limits
        flat: list[str | int] = [self._prefix, settlement.reservation, int(repeated), len(limits)]
        for each, amount, used in zip(limits, settlement.amounts, settlement.actual, strict=True):
            window, forget_at_ms = self._window(each, settlement.at)
            flat += (each.counter, each.period or "", window, amount, used, forget_at_ms)
        return flat

    def _window(self, each: CountedLimit, at: float) -> tuple[str, int]:
        """Its name, and when the sum may be forgotten in milliseconds; 0 for sums without a calendar."""
        if each.period is None or each.period == "minute":
            return "", 0
        window = self._calendar.window(each.period, at)
        return window.name, round((window.ends_at + KEPT_AFTER_END_S) * 1000)

    async def _ask(self, script: str, arguments: Sequence[str | int]) -> Any:
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._enqueue(_Call(script, arguments, answer))
        return await answer

    def _post(self, script: str, arguments: Sequence[str | int], retry: _Settlement | None = None) -> None:
        self._enqueue(_Call(script, arguments, None, retry))

    def _enqueue(self, call: _Call) -> None:
        lane = self._posted if call.answer is None else self._asked
        lane.calls.append(call)
        if lane.sender is None or lane.sender.done():
            lane.sender = asyncio.get_running_loop().create_task(self._send_all(lane))

    async def _send_all(self, lane: _Lane) -> None:
        while lane.calls:
            batch, lane.calls = lane.calls[:_BATCH], lane.calls[_BATCH:]
            try:
                async with asyncio.timeout(self._timeout_s):
                    answers = await self._send(batch)
            except (TimeoutError, *_errors()) as error:
                self._fail(batch, _reason(error))
            else:
                self._deliver(batch, answers)

    async def _send(self, batch: Sequence[_Call]) -> list[Any]:
        for script in {call.script for call in batch} - self._shas.keys():
            self._shas[script] = await self._client.script_load(script)
        pipeline = self._client.pipeline(transaction=False)
        for call in batch:
            pipeline.evalsha(self._shas[call.script], 0, _encode(call.arguments))
        return await pipeline.execute(raise_on_error=False)

    def _deliver(self, batch: Sequence[_Call], answers: Sequence[Any]) -> None:
        recovered, self.trouble = self.trouble, None
        if recovered is not None:
            log.warning("the counter store answers again")
        for call, answer in zip(batch, answers, strict=True):
            if isinstance(answer, Exception):
                self._refused(call, answer)
            elif call.answer is not None and not call.answer.done():
                call.answer.set_result(answer)

    def _refused(self, call: _Call, error: Exception) -> None:
        from redis.exceptions import NoScriptError

        if isinstance(error, NoScriptError):  # the server was restarted or its scripts were flushed
            self._shas.clear()
            self._enqueue(call)
        else:
            self._fail([call], _reason(error))

    def _fail(self, batch: Sequence[_Call], reason: str) -> None:
        if self.trouble is None:
            log.error("the counter store can't be asked: %s", reason)
        self.trouble = reason
        for call in batch:
            if call.answer is not None and not call.answer.done():
                call.answer.set_exception(CountersUnavailable(reason))
            if call.retry is not None and len(self._unsettled) < MAX_UNSETTLED:
                self._unsettled.append(call.retry)


def _connect(url: str, timeout_s: float) -> Any:
    try:
        from redis.asyncio import Redis
        from redis.asyncio.retry import Retry
        from redis.backoff import NoBackoff
    except ModuleNotFoundError as error:
        raise CountersUnavailable("counters in Redis need a client: pip install 'byline[redis]'") from error
    url = url.replace("valkey://", "redis://", 1).replace("valkeys://", "rediss://", 1)
    client: Any = Redis.from_url(  # pyright: ignore[reportUnknownMemberType]
        url,
        decode_responses=True,
        socket_timeout=timeout_s,
        socket_connect_timeout=timeout_s,
        # Once more on a connection that turned out to be closed: every script stands being repeated.
        retry=Retry(NoBackoff(), 1),
    )
    return client


def _errors() -> tuple[type[Exception], ...]:
    from redis.exceptions import RedisError

    return (RedisError, OSError)


def _reason(error: Exception) -> str:
    """Without the address, which may carry a password."""
    return type(error).__name__
