"""Whether a request may be sent now: only what can be recorded is served, and what budgets allow."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from byline.gateway.budgets import BudgetGate
from byline.gateway.exchange import Exchange
from byline.gateway.refusals import Refused


class Admitter:
    def __init__(self, journal_accepts: Callable[[], bool], budgets: BudgetGate | None = None) -> None:
        self._journal_accepts = journal_accepts
        self._budgets = budgets

    def admit(self, exchange: Exchange) -> Awaitable[None] | None:
        """Raises Refused. Awaitable only where budgets are counted in a shared store."""
        journal_accepts = self._journal_accepts
        if not journal_accepts():
            raise not_recorded()
        return None if self._budgets is None else self._budgets.admit(exchange)

    def release(self, exchange: Exchange) -> None:
        """Admitted, and then not sent."""
        if self._budgets is not None:
            self._budgets.release(exchange)


def not_recorded() -> Refused:
    """The operator chose `journal.on_failure = "fail_closed"`."""
    message = "requests can't be recorded at the moment, and this gateway serves none unrecorded"
    return Refused(503, "overloaded", message, [("retry-after", "5")])
