"""What a request in flight holds of the budgets that apply to it."""

from __future__ import annotations

from collections.abc import Sequence

from byline.budgets.book import Applied


class Reservation:
    """Settled once: by the attempt's end, or released where nothing was sent."""

    __slots__ = ("amounts", "applied", "at", "reservation_id", "shown", "strips")

    def __init__(
        self, reservation_id: str, applied: Sequence[Applied], amounts: Sequence[int], at: float
    ) -> None:
        self.reservation_id = reservation_id
        self.applied = applied
        self.amounts = amounts
        self.at = at
        """Epoch seconds: in whose windows it counts."""
        self.shown: tuple[float, Applied] | None = None
        """How far the fullest money budget is used: what the client is told."""
        self.strips = False
        """The upstream's quota headers describe a credential that others use too: not the caller's matter."""
