"""One try at an upstream: relays the answer as it comes, meters it on the way, writes the row.

The bytes are never changed; only the framing is our own, and on a chat stream where Byline asked
for the usage event, that one event is left out.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from byline.apis.usage_event_filter import UsageEventFilter
from byline.gateway.attempt_row import Surroundings
from byline.gateway.error_reply import send_refusal
from byline.gateway.exchange import Exchange, Reply
from byline.gateway.http1.response_head import ResponseHead
from byline.gateway.metering import open_meter
from byline.gateway.refusals import Refused
from byline.gateway.upstream.connection import Lost, UpstreamConnection
from byline.gateway.whole_answer import WholeAnswer
from byline.usage.record import AttemptColumns, KnownColumns, Outcome

_TIMEOUTS = frozenset({Lost.FIRST_BYTE_TIMEOUT, Lost.STALLED})


class Sender(Protocol):
    """Whoever made the attempt."""

    def dial(self, exchange: Exchange, attempt: Attempt) -> None:
        """A new connection for it, later."""
        ...

    def send_again(self, exchange: Exchange) -> None:
        """Once more, on a fresh connection, as the next attempt."""
        ...

    def refuse_unrecorded(self, exchange: Exchange) -> None: ...


class Attempt(WholeAnswer):
    """Listens to one UpstreamConnection for one Exchange."""

    _filter: UsageEventFilter | None = None
    _send_chunk: Callable[[bytes], None] | None = None
    """Set where a stream's chunks go on as they were framed."""

    def __init__(
        self,
        exchange: Exchange,
        columns: AttemptColumns,
        known: KnownColumns,
        around: Surroundings,
        sender: Sender,
    ) -> None:
        assert exchange.route is not None
        self._exchange = exchange
        self._route = exchange.route
        self._columns = columns
        self._known = known
        self._around = around
        self._sender = sender

    def on_recorded(self) -> None:
        """The journal knows of it: the request may leave."""
        if self._over:
            return  # the client went while the start was written
        connection = self._route.provider.pool.take() if self._columns.attempt == 1 else None
        if connection is not None:
            self.send_on(connection)
        else:
            self._sender.dial(self._exchange, self)

    def on_unrecorded(self) -> None:
        self._sender.refuse_unrecorded(self._exchange)

    def send_on(self, connection: UpstreamConnection) -> None:
        exchange, request = self._exchange, self._exchange.request
        assert request is not None
        self._connection = connection
        monotonic = exchange.clock.monotonic
        now = monotonic()
        self._busy_s = now - exchange.body_at
        connection.send(request.head, request.segments, self, request.to_head_request, now)

    def fail_before_sending(self, error_type: str, message: str, *, timed_out: bool) -> None:
        """No connection: the request has not left the gateway."""
        if self._over:
            return
        outcome: Outcome = "client_disconnect" if self._exchange.reply is None else "upstream_error"
        self._note_trouble(error_type)
        self._refuse(504 if timed_out else 502, message)
        self._settle(outcome)

    # the upstream's side

    def on_whole_answer(self, head: ResponseHead, body: bytes) -> None:
        exchange = self._exchange
        if exchange.reply is None or exchange.hides_usage or head.layout.is_encoded or body[:1] != b"{":
            self.on_answer_head(head)
            self.on_answer_body(body)
            self.on_answer_end()
        else:
            self.take_whole(head, body)

    def on_answer_head(self, head: ResponseHead) -> None:
        exchange = self._exchange
        exchange.request = None  # never sent again from here on, and it may be large
        self._note_head(head)
        self._meter = open_meter(self._route, head)
        length = head.content_length
        if exchange.hides_usage and head.status == 200 and head.is_event_stream:
            self._filter, length = UsageEventFilter(), None
        if exchange.reply is not None:
            exchange.reply.start(head.status, head.reason, self._answer_lines(head), length)

    def on_answer_body(self, data: bytes) -> None:
        if not self._seen_body:
            self._note_first_byte()
            self._pass_chunks_on()
        if self._meter is not None:
            try:
                self._meter.feed(data)
            except Exception:  # noqa: BLE001 - logged there
                self._give_up_metering()
        if self._filter is not None:
            data = self._filter.feed(data)
        reply = self._exchange.reply
        if reply is None:
            self._around.drains.took(self, len(data))
        elif data:
            reply.write(data)

    def on_answer_chunk(self, framed: bytes, data: bytes) -> None:
        """The usual event of a stream: goes on as it was framed where nothing is left out of it."""
        send = self._send_chunk
        if send is None:
            self.on_answer_body(data)
            self.on_read_done()
            return
        if self._meter is not None:
            try:
                self._meter.feed(data)
            except Exception:  # noqa: BLE001 - logged there
                self._give_up_metering()
        send(framed)

    def on_read_done(self) -> None:
        reply = self._exchange.reply
        if reply is not None and reply.pieces:
            reply.flush()

    def on_answer_end(self) -> None:
        if self._over:
            return
        reading = self._read_meter(finished=True)
        reply, self._exchange.reply = self._exchange.reply, None
        self._note_last_read()
        self._settle("client_disconnect" if reply is None else self._outcome(reading), reading)
        if reply is not None:
            self._write_held_back(reply)
            reply.end()

    def on_answer_lost(self, why: Lost) -> None:
        if self._over:
            return
        self._note_trouble(why)
        if why is Lost.STALE and self._columns.attempt == 1 and self._exchange.reply is not None:
            self._settle("upstream_error", keep_exchange=True)
            self._sender.send_again(self._exchange)
            return
        reply = self._exchange.reply
        if reply is None:
            self._settle("client_disconnect")
        elif self._began:
            self._exchange.reply = None
            self._write_held_back(reply)
            self._settle("upstream_disconnect")
            reply.cut()
        else:
            timed_out = why in _TIMEOUTS
            self._refuse(504 if timed_out else 502, _explain(why))
            self._settle("upstream_error")

    # the client's side

    def client_gone(self) -> None:
        """The answer is read on for its usage where a drain is to be had, else cancelled and marked."""
        if self._over or self._whole is not None:
            return
        self._send_chunk = None
        if self._connection is not None:
            self._connection.resume()
            if self._around.drains.begin(self):
                return
        self.cancel()

    def client_paused(self) -> None:
        if self._connection is not None and self._whole is None:
            self._connection.pause()

    def client_resumed(self) -> None:
        if self._connection is not None and self._whole is None:
            self._connection.resume()

    def cancel(self) -> None:
        """The client has gone and the drain is over or not to be had."""
        self._abort("client_disconnect")

    def stop(self) -> None:
        """The gateway stops before the answer has ended."""
        if self._whole is not None:
            return  # it has ended, and goes out in this turn
        reply, self._exchange.reply = self._exchange.reply, None
        self._columns.error_type = "gateway_stopped"
        self._abort("client_disconnect" if reply is None else "interrupted")
        if reply is not None:
            reply.cut()

    # inside

    def _pass_chunks_on(self) -> None:
        """From the next read on."""
        reply = self._exchange.reply
        if reply is not None and self._filter is None:
            self._send_chunk = reply.chunk_sink()

    def _leave_drain(self) -> None:
        self._around.drains.end(self)

    def _abort(self, outcome: Outcome) -> None:
        if self._over:
            return
        self._settle(outcome)
        if self._connection is not None:
            self._connection.abort()

    def _write_held_back(self, reply: Reply) -> None:
        if self._filter is not None:
            reply.write(self._filter.finish())

    def _refuse(self, status: int, message: str) -> None:
        exchange = self._exchange
        reply, exchange.reply = exchange.reply, None
        self._columns.http_status = status
        if reply is not None:
            kind = "timeout" if status == 504 else "upstream"
            send_refusal(reply, exchange.family, Refused(status, kind, message), self._columns.request_id)


def _explain(why: Lost) -> str:
    match why:
        case Lost.FIRST_BYTE_TIMEOUT:
            return "the provider did not begin to answer in time"
        case Lost.MALFORMED:
            return "the provider's answer was not valid HTTP"
        case _:
            return "the provider closed the connection before it answered"
