"""Whether a request may be sent now: only what can be recorded is served."""

from __future__ import annotations

from collections.abc import Callable

from byline.gateway.exchange import Exchange
from byline.gateway.refusals import Refused


class Admitter:
    def __init__(self, journal_accepts: Callable[[], bool]) -> None:
        self._journal_accepts = journal_accepts

    def admit(self, exchange: Exchange) -> None:
        """Raises Refused."""
        if not self._journal_accepts():
            raise not_recorded()


def not_recorded() -> Refused:
    """The operator chose `journal.on_failure = "fail_closed"`."""
    message = "requests can't be recorded at the moment, and this gateway serves none unrecorded"
    return Refused(503, "overloaded", message, [("retry-after", "5")])
