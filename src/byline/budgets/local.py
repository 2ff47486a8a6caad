"""Counters in the worker's own memory, for a gateway of one worker."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from byline.budgets.counters import CountedLimit, CounterState, Reserved
from byline.budgets.limits import Period
from byline.budgets.periods import CalendarWindow, window_at

MINUTE_S: Final = 60
_FOR_EVER: Final = float("inf")


class _Sum:
    """A calendar window's sum, begun anew with each window; or what is under way, which lasts."""

    __slots__ = ("ends_at", "held", "seconds", "starts_at", "total", "window")

    def __init__(self, window: str, starts_at: float, ends_at: float) -> None:
        self.window = window
        self.starts_at = starts_at
        self.ends_at = ends_at
        """It must be looked after from here on."""
        self.total = 0
        """Used and held."""
        self.held = 0
        self.seconds: dict[int, int] | None = None
        """For the sliding minute, what each of its seconds added to the total."""


class LocalCounters:
    """Not for several threads.

    A minute is the last sixty seconds, one by one: no burst at the turn of a minute gets twice the limit.
    """

    def __init__(self) -> None:
        self._sums: dict[str, _Sum] = {}

    def reserve(
        self, reservation: str, limits: Sequence[CountedLimit], amounts: Sequence[int], now: float
    ) -> Reserved:
        found: list[_Sum] = []
        before: list[int] = []
        for index, each in enumerate(limits):
            sum_ = self._sums.get(each.counter)
            if sum_ is None or not sum_.starts_at <= now < sum_.ends_at:
                sum_ = self._turn(each.counter, each.period, sum_, now)
            used = sum_.total
            if used + amounts[index] > each.limit and each.is_hard:
                return Reserved(index, (used,), _room_in_s(sum_, amounts[index], each.limit, now))
            before.append(used)
            found.append(sum_)
        for index, sum_ in enumerate(found):
            amount = amounts[index]
            sum_.total += amount
            sum_.held += amount
            if sum_.seconds is not None:
                second = int(now)
                sum_.seconds[second] = sum_.seconds.get(second, 0) + amount
        return Reserved(None, before)

    def settle(
        self,
        reservation: str,
        limits: Sequence[CountedLimit],
        amounts: Sequence[int],
        actual: Sequence[int],
        at: float,
    ) -> None:
        for index, each in enumerate(limits):
            sum_, amount = self._sums.get(each.counter), amounts[index]
            if sum_ is None:
                continue
            if sum_.seconds is not None:
                sum_.held -= amount
                if int(at) in sum_.seconds:
                    sum_.seconds[int(at)] += actual[index] - amount
                    sum_.total += actual[index] - amount
            elif sum_.starts_at <= at < sum_.ends_at:
                sum_.held -= amount
                sum_.total += actual[index] - amount

    def seed(self, counter: str, window: CalendarWindow, used: int) -> None:
        """What had been used before this process counted; only where it counts nothing yet."""
        if counter not in self._sums:
            sum_ = self._sums[counter] = _Sum(window.name, window.starts_at, window.ends_at)
            sum_.total = used

    def seed_minute(self, counter: str, amounts: Mapping[int, int]) -> None:
        """`amounts` by second, in their order; only where the counter counts nothing yet."""
        if counter not in self._sums:
            sum_ = self._sums[counter] = _Sum("", 0.0, 0.0)
            sum_.seconds = dict(amounts)
            sum_.total = sum(amounts.values())

    def prune(self, now: float) -> None:
        """Forgets sums of windows that are over and of what is no longer under way: names come from clients."""
        for counter, sum_ in list(self._sums.items()):
            if sum_.seconds is not None:
                _slide(sum_, now)
                is_over = not sum_.seconds
            else:
                is_over = sum_.ends_at <= now or sum_.ends_at == _FOR_EVER
            if is_over and sum_.held <= 0:
                del self._sums[counter]

    def states(self, now: float) -> Iterator[CounterState]:
        for counter, sum_ in self._sums.items():
            if sum_.seconds is not None:
                _slide(sum_, now)
            held = min(sum_.held, sum_.total)  # of a long answer, the minute it began in has gone by
            yield CounterState(counter, sum_.window, sum_.total - held, held)

    def _turn(self, counter: str, period: Period | None, known: _Sum | None, now: float) -> _Sum:
        """The sum for `now`: the next window's, or the minute slid on."""
        if period == "minute":
            sum_ = known or _Sum("", 0.0, 0.0)
            sum_.seconds = {} if sum_.seconds is None else sum_.seconds
            _slide(sum_, now)
        elif period is None:
            sum_ = known or _Sum("", 0.0, _FOR_EVER)
        else:
            window = window_at(period, now)
            sum_ = _Sum(window.name, window.starts_at, window.ends_at)
        self._sums[counter] = sum_
        return sum_


def _slide(sum_: _Sum, now: float) -> None:
    """Lets go of the seconds that are a minute old; good until the second is over."""
    second, seconds = int(now), sum_.seconds or {}
    sum_.starts_at, sum_.ends_at = second, second + 1
    while seconds:
        first = next(iter(seconds))
        if first > second - MINUTE_S:
            return
        sum_.total -= seconds.pop(first)


def _room_in_s(sum_: _Sum, needed: int, limit: int, now: float) -> float:
    """When enough of a minute's seconds have gone by; 0 for what the calendar decides."""
    if sum_.seconds is None:
        return 0.0
    total = sum_.total
    for second, amount in sum_.seconds.items():
        total -= amount
        if total + needed <= limit:
            return max(second + MINUTE_S - now, 0.001)
    return float(MINUTE_S)
