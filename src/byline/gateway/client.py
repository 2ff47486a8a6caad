"""One client's connection: requests in, one at a time and in order.

Pipelined requests wait their turn in a bounded stash. Anything wrong with a request's framing is
answered once and the connection closed, because nobody can say where the next request begins.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Protocol, cast

import msgspec

from byline.gateway.client_reply import ClientReply
from byline.gateway.exchange import Exchange, Reply
from byline.gateway.http1.errors import ProtocolError
from byline.gateway.http1.head_framing import find_head_end
from byline.gateway.http1.request_head import RequestHead
from byline.gateway.last_head import LastHead
from byline.gateway.refusals import Refused, kind_of_status
from byline.gateway.uploads import Upload, Uploads

log = logging.getLogger(__name__)
NEVER = float("inf")
MAX_STASH_BYTES = 65_536
LINGER_S = 2.0
WRITE_BUFFER_BYTES = 262_144


class ClientLimits(msgspec.Struct, frozen=True):
    max_header_bytes: int = 65_536
    header_timeout_s: float = 10.0
    body_timeout_s: float = 60.0
    idle_timeout_s: float = 75.0
    write_timeout_s: float = 300.0
    """How long a client may leave its answer unread."""


class Handler(Protocol):
    """The pipeline, as a connection sees it."""

    def open(self, block: bytes, client: ClientConnection) -> Exchange | Awaitable[Exchange]: ...
    def proceed(self, exchange: Exchange, body: bytes) -> None: ...
    def open_repeat(self, data: bytes, max_head_bytes: int, client: ClientConnection) -> Exchange | None: ...
    def proceed_repeat(self, exchange: Exchange) -> None: ...
    def refuse(self, exchange: Exchange, refusal: Refused) -> None: ...
    def refuse_malformed(self, reply: Reply, error: ProtocolError) -> None: ...


class ClientConnection(asyncio.Protocol):
    def __init__(
        self,
        handler: Handler,
        limits: ClientLimits,
        uploads: Uploads,
        clock: Callable[[], float],
        opened: Callable[[ClientConnection], None],
        closed: Callable[[ClientConnection], None],
    ) -> None:
        """`closed` is called for whatever was `opened`: a failed TLS handshake opens nothing."""
        self._handler = handler
        self._limits = limits
        self._uploads = uploads
        self._clock = clock
        self._opened_connection = opened
        self._closed = closed
        self._transport: asyncio.Transport | None = None
        self._peer_address = ""
        self._partial: bytes = b""
        """The beginning of a head."""
        self.last_head: LastHead | None = None
        self._stash: bytes = b""
        """What came while a request was under way."""
        self._reply: ClientReply | None = None
        self._exchange: Exchange | None = None
        self._body: Upload | None = None
        self._opening: asyncio.Task[None] | None = None
        self._busy = False
        """A request has been handed over whole, or waits to be authenticated."""
        self._consuming = False
        self._lingering = False
        self._stopping = False
        self._holds_back = False
        """Reading is paused until the stash has been worked off."""
        self._unread = False
        """The client leaves answers unread: what it asks meanwhile waits."""
        self._half_closed = False
        """Nothing more will come; what has come is still answered."""
        self.deadline = NEVER

    # asyncio's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(high=WRITE_BUFFER_BYTES)
        peer: tuple[str, int] | None = transport.get_extra_info("peername")
        self._peer_address = peer[0] if peer else ""
        self._opened_connection(self)
        self._await_request()

    def data_received(self, data: bytes) -> None:
        if self._busy or self._unread or self._lingering:
            self._put_by(data)
        elif self._body is not None or self._partial or not self._take_repeat(data):
            self._consume(data)

    def _put_by(self, data: bytes) -> None:
        if self._lingering:
            return
        self._stash += data
        if len(self._stash) > MAX_STASH_BYTES and self._transport is not None:
            self._holds_back = True
            self._transport.pause_reading()

    def eof_received(self) -> bool:
        """A client may close its sending side and still wait for the answer."""
        if not (self._busy or self._unread) or self._lingering or self._transport is None:
            return False
        self._half_closed = True
        if self._reply is not None and not self._stash:
            self._reply.close_after = True
        return self._transport.get_extra_info("ssl_object") is None

    def connection_lost(self, exc: Exception | None) -> None:
        self.deadline = NEVER
        self._transport = None
        self._give_up_body()
        if self._opening is not None:
            self._opening.cancel()
        if self._reply is not None:
            self._reply.detach()
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            exchange.client_gone()
        self._closed(self)

    def pause_writing(self) -> None:
        self._unread = True
        self.deadline = self._clock() + self._limits.write_timeout_s
        if self._exchange is not None and self._exchange.in_flight is not None:
            self._exchange.in_flight.client_paused()

    def resume_writing(self) -> None:
        self._unread = False
        if self._busy:
            self.deadline = NEVER
        elif not self._lingering:
            self._await_request()
            self._consume_stash()
        if self._exchange is not None and self._exchange.in_flight is not None:
            self._exchange.in_flight.client_resumed()

    # the worker's side

    def check_deadline(self, now: float) -> None:
        if now < self.deadline or self._transport is None:
            return
        if self._busy or self._lingering or self._unread or self._transport.is_closing():
            self._transport.abort()
        elif self._body is not None or self._partial:
            self._refuse_framing(ProtocolError(408, "the request did not come in time"))
        else:
            self._close_flushed(self._transport)

    def stop(self) -> None:
        """No further request after the one under way."""
        self._stopping = True
        if self._reply is not None:
            self._reply.close_after = True
        elif self._transport is not None and not self._partial:
            self._close_flushed(self._transport)

    def stop_now(self) -> None:
        """The time for a graceful end is over."""
        exchange = self._exchange
        if exchange is not None and exchange.in_flight is not None:
            exchange.in_flight.stop()
        if self._transport is not None:
            self._transport.abort()

    # requests in

    def _consume(self, data: bytes) -> None:
        self._consuming = True
        try:
            while data and not (self._waits or self._lingering) and self._transport is not None:
                data = self._take_head(data) if self._body is None else self._take_body(self._body, data)
        except ProtocolError as error:
            self._refuse_framing(error)
            data = b""
        finally:
            self._consuming = False
        self._stash = data if self._waits else b""

    @property
    def _waits(self) -> bool:
        """What comes now is for later."""
        return self._busy or self._unread

    def _take_repeat(self, data: bytes) -> bool:
        """Most requests: whole, alone and like one before. False: read it step by step."""
        exchange = self._handler.open_repeat(data, self._limits.max_header_bytes, self)
        if exchange is None:
            return False
        self._exchange = exchange
        self._busy = True
        self.deadline = NEVER
        self._handler.proceed_repeat(exchange)
        return True

    def _take_head(self, data: bytes) -> bytes:
        data = self._partial + data
        end = find_head_end(data, self._limits.max_header_bytes)
        if end < 0:
            if not self._partial:
                self.deadline = self._clock() + self._limits.header_timeout_s
            self._partial = data
            return b""
        self._partial = b""
        self.deadline = self._clock() + self._limits.body_timeout_s
        opened = self._handler.open(data[:end].removeprefix(b"\r\n"), self)
        if isinstance(opened, Exchange):
            return self._opened(opened, data[end + 4 :])
        self._busy = True
        self._opening = asyncio.ensure_future(self._open_later(opened))
        return data[end + 4 :]

    async def _open_later(self, opening: Awaitable[Exchange]) -> None:
        try:
            exchange = await opening
        except Exception:
            log.exception("a request could not be opened")
            if self._transport is not None:
                self._transport.abort()
            return
        self._opening = None
        self._busy = False
        stash, self._stash = self._stash, b""
        try:
            stash = self._opened(exchange, stash)
        finally:
            self._stash = stash
        if not self._busy:
            self._consume_stash()

    def _opened(self, exchange: Exchange, rest: bytes) -> bytes:
        """Returns what lies beyond this request."""
        head = exchange.head
        if exchange.reply is None:
            self._pass_over_body(head)
            return rest
        self._exchange = exchange
        length = head.content_length
        if not head.chunked and len(rest) >= length:  # nearly every request comes in one read
            self._proceed(exchange, rest[:length])
            return rest[length:]
        self._body = self._uploads.receive(head, self._clock())
        if head.expects_continue and self._transport is not None:
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        return rest

    def _take_body(self, body: Upload, data: bytes) -> bytes:
        rest = body.take(data)
        if not body.done:
            self.deadline = body.deadline(self._clock())
            return rest
        self._body = None
        if self._exchange is not None:
            self._proceed(self._exchange, body.whole())
        else:
            self._await_request()
        return rest

    def _proceed(self, exchange: Exchange, body: bytes) -> None:
        self._busy = True
        self.deadline = NEVER
        if self._reply is not None:
            self._reply.body_is_read = True
        self._handler.proceed(exchange, body)

    def _pass_over_body(self, head: RequestHead) -> None:
        """The request was answered before its body came."""
        if self._lingering:
            return
        if head.content_length:
            self._body = self._uploads.pass_over(head.content_length, self._clock())
        else:
            self._await_request()

    def _give_up_body(self) -> None:
        body, self._body = self._body, None
        if body is not None:
            body.give_up()

    def _await_request(self) -> None:
        limits, clock = self._limits, self._clock
        self.deadline = clock() + (limits.write_timeout_s if self._unread else limits.idle_timeout_s)

    def _consume_stash(self) -> None:
        if self._unread:
            return
        stash, self._stash = self._stash, b""
        if self._transport is None or self._lingering:
            return
        self._holds_back = False
        self._transport.resume_reading()
        if stash:
            self._consume(stash)
        if self._half_closed and not self._waits:
            self._close()

    def _refuse_framing(self, error: ProtocolError) -> None:
        """Where this request ends is unknown, so the connection ends with the refusal."""
        exchange, self._exchange = self._exchange, None
        self._give_up_body()
        if exchange is None:
            self._handler.refuse_malformed(self.new_reply(None), error)
            return
        if self._reply is not None:
            self._reply.close_after = True
        self._handler.refuse(
            exchange, Refused(error.status, kind_of_status(error.status), str(error), error.headers)
        )

    # answers out

    def new_reply(self, head: RequestHead | None, *, body_is_read: bool = False) -> ClientReply:
        assert self._transport is not None
        self._reply = reply = ClientReply(self._transport, head, self._peer_address, self._answered)
        if self._stopping or head is None or not head.keep_alive:
            reply.close_after = True
        if body_is_read:
            reply.body_is_read = True
        return reply

    def _answered(self) -> None:
        reply, self._reply = self._reply, None
        self._exchange = None
        if reply is None or reply.close_after:
            self._close()
        elif self._busy and self._opening is None:  # else the stash still begins with this one's body
            self._busy = False
            self._await_request()
            if not self._consuming and (self._stash or self._holds_back or self._half_closed):
                self._consume_stash()

    def _close(self) -> None:
        transport = self._transport
        if transport is None:
            return
        if self._half_closed or (self._busy and not self._stash):
            self._close_flushed(transport)
            return
        # Closing with bytes unread would reset the connection and take the answer with it.
        self._lingering = True
        self.deadline = self._clock() + LINGER_S
        transport.resume_reading()
        if transport.can_write_eof():
            transport.write_eof()

    def _close_flushed(self, transport: asyncio.Transport) -> None:
        """What the client never reads must not hold the connection for ever."""
        self.deadline = self._clock() + self._limits.write_timeout_s
        transport.close()
