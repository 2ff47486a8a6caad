"""Requests that are not sent: refused, or left by their client before their turn.

They are answered in the provider's shape, and leave a row where it is known whose they are.
"""

from __future__ import annotations

from byline.gateway.admission import Admitter
from byline.gateway.attempt_row import EndJournal
from byline.gateway.endpoints import Endpoints
from byline.gateway.error_reply import send_refusal
from byline.gateway.exchange import Clock, Exchange, Reply, Tally
from byline.gateway.http1.errors import ProtocolError
from byline.gateway.recognition import Recognizer
from byline.gateway.record import close_columns, describe, know_columns
from byline.gateway.refusals import Refused, kind_of_status
from byline.usage.ids import new_uuid7
from byline.usage.record import Outcome


class Unsent:
    """One per worker."""

    def __init__(
        self,
        *,
        endpoints: Endpoints,
        recognizer: Recognizer,
        admitter: Admitter,
        journal: EndJournal,
        tally: Tally,
        clock: Clock,
        gateway_id: str,
    ) -> None:
        self._endpoints = endpoints
        self._recognizer = recognizer
        self._admitter = admitter
        self._journal = journal
        self._tally = tally
        self._clock = clock
        self._gateway_id = gateway_id

    def refuse(self, exchange: Exchange, refusal: Refused) -> None:
        reply, exchange.reply = exchange.reply, None
        self._tally[f"refused_{refusal.kind}"] += 1
        try:
            self._admitter.release(exchange)
            if exchange.admission is not None and self._endpoints.find(exchange.head) is None:
                exchange.columns.http_status, exchange.columns.error_type = refusal.status, refusal.kind
                self._record(exchange, "rejected")
        finally:
            if reply is not None:
                send_refusal(reply, exchange.family, refusal, exchange.exchange_id)

    def refuse_malformed(self, reply: Reply, error: ProtocolError) -> None:
        """Framing that makes no request: nobody is known, and nobody knows which API was meant."""
        self._tally["malformed"] += 1
        refusal = Refused(error.status, kind_of_status(error.status), str(error))
        send_refusal(reply, "anthropic", refusal, new_uuid7(self._clock.wall()))

    def give_up(self, exchange: Exchange) -> None:
        """Its client has gone: nothing was used, and the row says so."""
        self._admitter.release(exchange)
        self._record(exchange, "client_disconnect")

    def _record(self, exchange: Exchange, outcome: Outcome) -> None:
        if exchange.attribution is None:
            exchange.attribution = self._recognizer.attribute(exchange)
        known = know_columns(exchange, describe(exchange, self._gateway_id))
        close_columns(exchange.columns, exchange, None, outcome, self._clock.moment())
        self._journal.append_end(exchange.columns, known.members)
