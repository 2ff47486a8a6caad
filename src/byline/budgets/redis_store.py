"""Counters in Redis or Valkey, for gateways of several workers or machines.

A server that is gone makes `reserve` fail fast; what was to be settled meanwhile is tried again until its
lease would have ended anyway.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any, NamedTuple, cast

from byline.budgets import redis_scripts as scripts
from byline.budgets.counters import CountedLimit, CounterState, Reserved
from byline.budgets.periods import Calendar
from byline.budgets.redis_address import parse_address
from byline.budgets.redis_connection import CommandRefused, require_client
from byline.budgets.redis_link import RedisLink, Unanswered

KEPT_AFTER_END_S = 3600
"""How long a window's sum outlives it: answers that began in it still settle there."""
MAX_UNSETTLED = 10_000
"""Half of them may be of nothing used: those end with their lease as well."""
RENEWED_AT_ONCE = 256
"""Leases in one call: the server does nothing else while it runs."""


class _Settlement(NamedTuple):
    reservation: str
    limits: Sequence[CountedLimit]
    amounts: Sequence[int]
    actual: Sequence[int]
    at: float
    give_up_at: float
    may_have_run: bool = False
    """Then a reservation that is gone was settled already; else it ended with its lease, and the use still counts."""


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
        """Raises ValueError for a URL that can't be meant, CountersUnavailable where nothing can ask Redis."""
        require_client()
        self._link = RedisLink(parse_address(url), timeout_s)
        self._prefix = f"{{{prefix}}}"
        self._lease_s = lease_s
        self._monotonic = monotonic
        self._calendar = Calendar()
        self._active: set[str] = set()
        self._unsettled: list[_Settlement] = []

    @property
    def trouble(self) -> str | None:
        """Why the store can't be asked; None while it answers."""
        return self._link.trouble

    async def reserve(
        self, reservation: str, limits: Sequence[CountedLimit], amounts: Sequence[int], now: float
    ) -> Reserved:
        arguments: list[str | int] = [self._prefix, reservation, round(self._lease_s * 1000), len(limits)]
        for each, amount in zip(limits, amounts, strict=True):
            window, forget_at_ms = self._window(each, now)
            limit = each.limit if each.is_hard else -1
            arguments += (each.counter, each.period or "", window, amount, limit, forget_at_ms)
        try:
            found = await self._link.ask(scripts.RESERVE, arguments)
        except (asyncio.CancelledError, Unanswered):
            nothing = [0] * len(amounts)
            settlement = self._settlement(reservation, limits, amounts, nothing, now)
            self._settle(settlement._replace(may_have_run=True))
            raise
        if not _is_answer(found, len(amounts)):
            raise self._link.mistrust()
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
        self._settle(self._settlement(reservation, limits, amounts, actual, at))

    def renew(self) -> None:
        """Keeps what is in flight, and tries again what could not be settled."""
        active, lease_ms = sorted(self._active), round(self._lease_s * 1000)
        for first in range(0, len(active), RENEWED_AT_ONCE):
            some = active[first : first + RENEWED_AT_ONCE]
            self._link.tell(scripts.RENEW, [self._prefix, lease_ms, *some])
        now, waiting = self._monotonic(), self._unsettled
        self._unsettled = []
        for settlement in waiting:
            if settlement.give_up_at > now:
                self._settle(settlement)

    async def seed(self, sums: Iterable[tuple[str, str, int, float]]) -> None:
        """(counter, window, used, end of the window): only for sums that nobody counts yet."""
        flat: list[str | int] = [self._prefix]
        for counter, window, used, ends_at in sums:
            flat += (counter, window, used, round((ends_at + KEPT_AFTER_END_S) * 1000))
        if len(flat) > 1:
            await self._link.ask(scripts.SEED, flat)

    async def states(self) -> list[CounterState]:
        """Every sum that is kept. Raises CountersUnavailable."""
        await self._link.ask(scripts.TIDY, [self._prefix])
        return [
            *[await self._calendar_state(key) for key in await self._keys("c")],
            *[await self._minute_state(key) for key in await self._keys("m")],
        ]

    async def close(self) -> None:
        """Sends what waits to be sent, then hangs up."""
        await self._link.close()

    async def _keys(self, kind: str) -> list[str]:
        found: set[str] = set()
        cursor = "0"
        while True:
            pattern = f"{self._prefix}:{kind}:*"
            cursor, some = await self._link.command("SCAN", cursor, "MATCH", pattern, "COUNT", 500)
            found.update(some)
            if cursor == "0":
                return sorted(found)

    async def _calendar_state(self, key: str) -> CounterState:
        used, held = await self._link.command("HMGET", key, "used", "held")
        counter, _, window = key.removeprefix(f"{self._prefix}:c:").rpartition(":")
        return CounterState(counter, window, _whole(used), _whole(held))

    async def _minute_state(self, key: str) -> CounterState:
        total: Any = await self._link.command("HGET", key, "total")
        return CounterState(key.removeprefix(f"{self._prefix}:m:"), "", _whole(total), 0)

    def _settlement(
        self,
        reservation: str,
        limits: Sequence[CountedLimit],
        amounts: Sequence[int],
        actual: Sequence[int],
        at: float,
    ) -> _Settlement:
        return _Settlement(reservation, limits, amounts, actual, at, self._monotonic() + self._lease_s)

    def _settle(self, settlement: _Settlement) -> None:
        limits, only_if_held = settlement.limits, int(settlement.may_have_run)
        flat: list[str | int] = [self._prefix, settlement.reservation, only_if_held, len(limits)]
        for each, amount, used in zip(limits, settlement.amounts, settlement.actual, strict=True):
            window, forget_at_ms = self._window(each, settlement.at)
            flat += (each.counter, each.period or "", window, amount, used, forget_at_ms)
        self._link.tell(scripts.SETTLE, flat, partial(self._not_settled, settlement))

    def _not_settled(self, settlement: _Settlement, error: BaseException | None) -> None:
        repeated = settlement.may_have_run
        if error is not None and not (isinstance(error, CommandRefused) and not error.may_have_run):
            settlement = settlement._replace(may_have_run=True)
        if isinstance(error, ConnectionError) and not repeated:
            self._settle(settlement)
        elif len(self._unsettled) < (MAX_UNSETTLED if any(settlement.actual) else MAX_UNSETTLED // 2):
            self._unsettled.append(settlement)

    def _window(self, each: CountedLimit, at: float) -> tuple[str, int]:
        """Its name, and when the sum may be forgotten in milliseconds; 0 for sums without a calendar."""
        if each.period is None or each.period == "minute":
            return "", 0
        window = self._calendar.window(each.period, at)
        return window.name, round((window.ends_at + KEPT_AFTER_END_S) * 1000)


def _is_answer(found: Any, holds: int) -> bool:
    """Whether this is what RESERVE returns."""
    if (
        type(found) is not list
        or not found
        or any(type(each) is not int for each in cast("list[Any]", found))
    ):
        return False
    numbers = cast("list[int]", found)
    return len(numbers) == (3 if numbers[0] else 1 + holds) and 0 <= numbers[0] <= holds


def _whole(text: str | None) -> int:
    """Of a sum as Lua writes it: 1e+17 where it is very large."""
    return int(float(text)) if text and "e" in text else int(text or 0)
