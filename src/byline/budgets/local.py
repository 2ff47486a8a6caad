"""Counters in the worker's own memory, for a gateway of one worker."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from byline.budgets.counters import CounterState, Hold, Reserved

MINUTE_S = 60


class _Sum:
    """A calendar window's sum, or what is under way: begun anew with each window."""

    __slots__ = ("ends_at", "held", "used", "window")

    def __init__(self, window: str, ends_at: float) -> None:
        self.window = window
        self.ends_at = ends_at
        self.used = self.held = 0


class _Minute:
    """The last sixty seconds, one by one: no burst at the turn of a minute gets twice the limit."""

    __slots__ = ("held", "seconds", "total")

    def __init__(self) -> None:
        self.seconds: dict[int, int] = {}
        self.total = 0
        self.held = 0

    def expire(self, now: int) -> None:
        seconds = self.seconds
        while seconds:
            first = next(iter(seconds))
            if first > now - MINUTE_S:
                return
            self.total -= seconds.pop(first)

    def add(self, second: int, amount: int) -> None:
        self.seconds[second] = self.seconds.get(second, 0) + amount
        self.total += amount

    def correct(self, second: int, amount: int) -> None:
        """Only where that second still counts."""
        if second in self.seconds:
            self.seconds[second] += amount
            self.total += amount

    def room_in_s(self, room_needed: int, limit: int, now: float) -> float:
        total = self.total
        for second, amount in self.seconds.items():
            total -= amount
            if total + room_needed <= limit:
                return max(second + MINUTE_S - now, 0.001)
        return float(MINUTE_S)


class LocalCounters:
    """Not for several threads."""

    def __init__(self) -> None:
        self._sums: dict[str, _Sum] = {}
        self._minutes: dict[str, _Minute] = {}
        self._reserved_at: dict[str, int] = {}
        """Reservation -> the second it counts in, for those that hold some of a minute."""

    def reserve(self, reservation: str, holds: Sequence[Hold], now: float) -> Reserved:
        second = int(now)
        before: list[int] = []
        for index, hold in enumerate(holds):
            if hold.period == "minute":
                minute = self._minute(hold.counter, second)
                used = minute.total
                if hold.is_hard and used + hold.amount > hold.limit:
                    return Reserved(index, (used,), minute.room_in_s(hold.amount, hold.limit, now))
            else:
                sum_ = self._sum(hold)
                used = sum_.used + sum_.held
                if hold.is_hard and used + hold.amount > hold.limit:
                    return Reserved(index, (used,))
            before.append(used)
        self._hold(reservation, holds, second)
        return Reserved(None, before)

    def settle(self, reservation: str, holds: Sequence[Hold], actual: Sequence[int], now: float) -> None:
        second = self._reserved_at.pop(reservation, 0)
        for hold, used in zip(holds, actual, strict=True):
            if hold.period == "minute":
                minute = self._minutes[hold.counter]
                minute.held -= hold.amount
                minute.correct(second, used - hold.amount)
                continue
            sum_ = self._sums.get(hold.counter)
            if sum_ is not None and sum_.window == hold.window:
                sum_.held -= hold.amount
                sum_.used += used

    def seed(self, counter: str, window: str, used: int, ends_at: float) -> None:
        """What had been used before this process counted; only where it counts nothing yet."""
        if counter not in self._sums:
            self._sums[counter] = _Sum(window, ends_at)
            self._sums[counter].used = used

    def seed_minute(self, counter: str, amounts: Mapping[int, int]) -> None:
        """`amounts` by second, in their order; only where the counter counts nothing yet."""
        if counter not in self._minutes:
            minute = self._minutes[counter] = _Minute()
            for second, amount in amounts.items():
                minute.add(second, amount)

    def prune(self, now: float) -> None:
        """Forgets sums of windows that are over and of what is no longer under way: names come from clients."""
        ended = [counter for counter, sum_ in self._sums.items() if sum_.held <= 0 and sum_.ends_at <= now]
        for counter in ended:
            del self._sums[counter]
        for counter, minute in list(self._minutes.items()):
            minute.expire(int(now))
            if not minute.seconds and minute.held == 0:
                del self._minutes[counter]

    def states(self, now: float) -> Iterator[CounterState]:
        for counter, sum_ in self._sums.items():
            yield CounterState(counter, sum_.window, sum_.used, sum_.held)
        for counter, minute in self._minutes.items():
            minute.expire(int(now))
            yield CounterState(counter, "", minute.total - minute.held, minute.held)

    def _hold(self, reservation: str, holds: Sequence[Hold], second: int) -> None:
        for hold in holds:
            if hold.period == "minute":
                minute = self._minutes[hold.counter]
                minute.add(second, hold.amount)
                minute.held += hold.amount
                self._reserved_at[reservation] = second
            else:
                self._sums[hold.counter].held += hold.amount

    def _sum(self, hold: Hold) -> _Sum:
        known = self._sums.get(hold.counter)
        if known is None or known.window != hold.window:
            known = self._sums[hold.counter] = _Sum(hold.window, hold.ends_at)
        return known

    def _minute(self, counter: str, second: int) -> _Minute:
        known = self._minutes.get(counter)
        if known is None:
            known = self._minutes[counter] = _Minute()
        known.expire(second)
        return known
