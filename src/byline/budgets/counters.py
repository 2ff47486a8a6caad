"""The counter port: reserve all or nothing, then settle with what was really used.

A reservation is a list of holds, each on one sum. A sum refuses only through a hard hold; soft and
shadow ones are counted all the same, so that their sums are true.
"""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from typing import NamedTuple, Protocol

from byline.budgets.limits import Period


class CountersUnavailable(RuntimeError):
    """The counter store can't be asked. `str(error)` names no address and no password."""


class Hold(NamedTuple):
    """So much on that sum, until it is settled."""

    counter: str
    period: Period | None
    window: str
    """Name of the calendar window; empty for a minute that slides and for what is under way."""
    ends_at: float
    amount: int
    limit: int
    is_hard: bool


class Reserved(NamedTuple):
    """What came of it: `used_before` are the sums without these holds, in their order."""

    refused: int | None
    """Which hold found no room."""
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
    def reserve(self, reservation: str, holds: Sequence[Hold], now: float) -> Reserved: ...
    def settle(self, reservation: str, holds: Sequence[Hold], actual: Sequence[int], now: float) -> None: ...


class SharedStore(Protocol):
    """The same for several workers and machines; a reservation not renewed in time is given up."""

    def reserve(self, reservation: str, holds: Sequence[Hold], now: float) -> Awaitable[Reserved]:
        """Raises CountersUnavailable."""
        ...

    def settle(self, reservation: str, holds: Sequence[Hold], actual: Sequence[int], now: float) -> None:
        """Returns at once; what can't be delivered is tried again for as long as the lease lasts."""
        ...
