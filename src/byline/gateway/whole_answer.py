"""An answer that came whole: nothing to wait for, so no Meter is fed, one write sends it, and each step of it
is done together with the same step of the others that came in this turn of the loop (`turn`)."""

from __future__ import annotations

from byline.apis.api import Reading
from byline.gateway.attempt_row import AttemptRow
from byline.gateway.budget_headers import answer_lines
from byline.gateway.exchange import Moment
from byline.gateway.http1.response_head import ResponseHead
from byline.usage.record import Outcome


class WholeAnswer(AttemptRow):
    """The steps of one attempt, in the order in which `Turn` takes them."""

    _whole: tuple[ResponseHead, bytes] | None = None
    """Set between its arrival and its row; the connection it came over is not ours any more."""
    _is_relayed = False
    """False where the client did not wait for it."""
    _reading: Reading | None = None

    def take_whole(self, head: ResponseHead, body: bytes) -> None:
        self._note_last_read()
        self._note_first_byte()
        self._whole = head, body
        self._around.turn.take_answer(self)

    def relay(self) -> None:
        assert self._whole is not None
        head, body = self._whole
        reply, self._exchange.reply = self._exchange.reply, None
        if reply is not None:
            reply.answer(head.status, head.reason, self._answer_lines(head), body)
            self._is_relayed = True

    def meter(self) -> None:
        assert self._whole is not None
        (head, body), columns = self._whole, self._columns
        self._note_head(head)
        self._reading = columns
        try:
            self._route.api.read_answer(body, columns)
        except Exception:  # noqa: BLE001 - logged there
            self._give_up_metering()
            self._reading, columns.raw_usage = None, None  # it may have been read, and not yet be JSON

    def record(self, ended: Moment) -> None:
        reading = self._reading
        outcome: Outcome = "ok"
        if not self._is_relayed:
            outcome = "client_disconnect"
        elif reading is None or reading.error_type is not None:
            outcome = self._outcome(reading)
        self._settle(outcome, reading, ended)
        self._whole = None

    def _answer_lines(self, head: ResponseHead) -> list[bytes]:
        own_line = b"x-byline-request-id: " + self._columns.request_id.encode()
        reservation = self._exchange.reservation
        if reservation is None:
            return [head.travelling, own_line] if head.travelling else [own_line]
        is_anthropic = self._route.provider.family == "anthropic"
        return [*answer_lines(reservation, head, is_anthropic=is_anthropic), own_line]
