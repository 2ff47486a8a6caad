"""What a request in flight holds of the budgets that apply to it."""

from __future__ import annotations

from collections.abc import Sequence

from byline.budgets.book import Applied
from byline.budgets.counters import Hold
from byline.budgets.estimate import Estimate


class Reservation:
    """Settled once: by the attempt's end, or released where nothing was sent."""

    __slots__ = ("applied", "estimate", "holds", "reservation_id", "shown", "strips")

    def __init__(
        self, reservation_id: str, applied: Sequence[Applied], holds: Sequence[Hold], estimate: Estimate
    ) -> None:
        self.reservation_id = reservation_id
        self.applied = applied
        self.holds = holds
        self.estimate = estimate
        self.shown: tuple[float, float] | None = None
        """How far the fullest money budget is used, and when it begins anew: what the client is told."""
        self.strips = False
        """The upstream's quota headers describe a credential that others use too: not the caller's matter."""
