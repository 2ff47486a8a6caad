"""The counter port: reserve all or nothing, then settle with what was really used.

A reservation is an amount on each of several sums. A sum refuses only through a hard limit; soft and
shadow ones are counted all the same, so that their sums are true. What was reserved at a time is
settled in the window of that time, however long the answer took.
"""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from typing import NamedTuple, Protocol

from byline.budgets.limits import Period


class CountersUnavailable(RuntimeError):
    """The counter store can't be asked. `str(error)` names no address and no password."""


class CountedLimit(Protocol):
    """A limit on one sum."""

    @property
    def counter(self) -> str: ...
    @property
    def period(self) -> Period | None: ...
    @property
    def limit(self) -> int: ...
    @property
    def is_hard(self) -> bool: ...


class Reserved(NamedTuple):
    """What came of it: `used_before` are the sums without this reservation, in their order."""

    refused: int | None
    """Which limit had no room; `used_before` is then its sum alone."""
    used_before: Sequence[int]
    retry_after_s: float = 0.0
    """For a sliding minute, when there will be room; 0 where the calendar tells."""


class CounterState(NamedTuple):
    """One sum, for `byline budgets status`."""

    counter: str
    window: str
    used: int
    held: int


class LocalStore(Protocol):
    def reserve(
        self, reservation: str, limits: Sequence[CountedLimit], amounts: Sequence[int], now: float
    ) -> Reserved: ...

    def settle(
        self,
        reservation: str,
        limits: Sequence[CountedLimit],
        amounts: Sequence[int],
        actual: Sequence[int],
        at: float,
    ) -> None:
        """`at`: when it was reserved."""
        ...


class SharedStore(Protocol):
    """The same for several workers and machines; a reservation not renewed in time is given up."""

    def reserve(
        self, reservation: str, limits: Sequence[CountedLimit], amounts: Sequence[int], now: float
    ) -> Awaitable[Reserved]:
        """Raises CountersUnavailable."""
        ...

    def settle(
        self,
        reservation: str,
        limits: Sequence[CountedLimit],
        amounts: Sequence[int],
        actual: Sequence[int],
        at: float,
    ) -> None:
        """Returns at once; what can't be delivered is tried again for as long as the lease lasts."""
        ...
