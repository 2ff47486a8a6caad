"""One connection to a provider: sends a request, hands its answer on as it arrives."""

from __future__ import annotations

import asyncio
import select
from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import Protocol, cast

import msgspec

from byline.gateway.http1.answer_heads import AnswerHeads
from byline.gateway.http1.lone_chunk import known_opening, opening_of
from byline.gateway.http1.response import ResponseReader
from byline.gateway.http1.response_head import AnswerFramingError, ResponseHead

Clock = Callable[[], float]
NEVER = float("inf")


class Lost(StrEnum):
    """Why an answer will not come to its end. The values are the row's `error_type`."""

    STALE = "stale_connection"
    CLOSED = "upstream_closed"
    RESET = "upstream_reset"
    MALFORMED = "malformed_answer"
    FIRST_BYTE_TIMEOUT = "first_byte_timeout"
    STALLED = "stalled"


class AttemptListener(Protocol):
    """Who waits for an answer. `on_answer_end`, `on_whole_answer` and `on_answer_lost` end it."""

    def on_answer_head(self, head: ResponseHead) -> None: ...
    def on_answer_body(self, data: bytes) -> None: ...
    def on_answer_chunk(self, framed: bytes, data: bytes) -> None:
        """A read that was one whole chunk of the body: as it was framed, and its data."""
        ...

    def on_whole_answer(self, head: ResponseHead, body: bytes) -> None:
        """Head, body and end at once."""
        ...

    def on_answer_end(self) -> None: ...
    def on_answer_lost(self, why: Lost) -> None: ...
    def on_read_done(self) -> None:
        """All that one read brought has been handed over: time to write."""
        ...


class Timeouts(msgspec.Struct, frozen=True):
    connect_s: float = 10.0
    first_byte_s: float = 600.0
    stall_s: float = 300.0
    idle_s: float = 30.0


class UpstreamConnection(asyncio.Protocol):
    """HTTP/1.1, one request at a time. `released` is called when it is idle again, or gone."""

    def __init__(
        self,
        released: Callable[[UpstreamConnection], None],
        timeouts: Timeouts,
        clock: Clock,
        heads: AnswerHeads | None = None,
    ) -> None:
        self._released = released
        self._timeouts = timeouts
        self._clock = clock
        self._transport: asyncio.Transport | None = None
        self._poll = select.poll()
        self._reader = ResponseReader(self, heads)
        self._listener: AttemptListener | None = None
        self._answered = False
        self._reusable = True
        self._paused = False
        self.on_answer_body: Callable[[bytes], None] = _ignore
        self.requests_sent = 0
        self.read_began_at = 0.0
        """When the last read was handed to us."""
        self.busy_s = 0.0
        """What the reads of this answer took that are over."""
        self.deadline = NEVER
        """When the answer under way counts as stalled, or the idle connection as too old."""

    # asyncio's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        descriptor: int = transport.get_extra_info("socket").fileno()
        self._poll.register(descriptor, select.POLLIN | select.POLLRDHUP)

    def data_received(self, data: bytes) -> None:
        listener = self._listener
        if listener is None:
            self.close()  # bytes that answer nothing: never trust this connection again
            return
        clock = self._clock
        self.read_began_at = began_at = clock()
        chunks = self._reader.chunks
        if chunks is not None and chunks.is_between:
            opening = known_opening(len(data)) or opening_of(len(data))
            if data.startswith(opening) and data.endswith(b"\r\n"):
                listener.on_answer_chunk(data, data[len(opening) : -2])
                self.busy_s += clock() - began_at
                return
        self._answered = True
        try:
            self._reader.feed(data)
        except AnswerFramingError:
            self._lose(Lost.MALFORMED)
        if self._listener is None:
            self._settle()
        else:
            if not self._paused:
                self.deadline = began_at + self._timeouts.stall_s
            listener.on_read_done()
            self.busy_s += clock() - began_at

    def eof_received(self) -> bool:
        listener = self._listener
        if listener is not None and self._reader.until_close:
            self.read_began_at = self._clock()
            self.on_answer_end()
            listener.on_read_done()
        self.close()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._reusable = False
        if self._listener is not None:
            self._lose(Lost.CLOSED if exc is None else Lost.RESET)
        self._released(self)

    # the pool's side

    def is_idle(self) -> bool:
        return self._listener is None and self._reusable

    def is_fresh(self) -> bool:
        """Idle, and nothing waits to be read: neither an end of the stream nor stray bytes."""
        transport = self._transport
        if transport is None or self._listener is not None or not self._reusable or transport.is_closing():
            return False
        return not self._poll.poll(0)

    def check_deadline(self, now: float) -> None:
        if now < self.deadline:
            return
        stalls_at = self.read_began_at + self._timeouts.stall_s
        if self._listener is not None and self._answered and now < stalls_at:
            self.deadline = stalls_at  # lone chunks don't move it, each of them
        elif self._listener is not None:
            self._lose(Lost.STALLED if self._answered else Lost.FIRST_BYTE_TIMEOUT)
        else:
            self.close()

    def close(self) -> None:
        self._reusable = False
        if self._transport is not None:
            self._transport.close()

    # the attempt's side

    def send(
        self,
        head: bytes,
        body: Sequence[bytes | memoryview],
        listener: AttemptListener,
        to_head_request: bool,
        now: float,
    ) -> None:
        assert self._transport is not None
        assert self._listener is None
        self._listener = listener
        self._answered = False
        self.busy_s = 0.0
        self._reader.expect(to_head_request)
        self.requests_sent += 1
        self.deadline = now + self._timeouts.first_byte_s
        if body:
            self._transport.writelines([head, *body])
        else:
            self._transport.write(head)

    def abort(self) -> None:
        """Cancels what is under way; the listener hears nothing more."""
        self._reusable = False
        self._listener = None
        self.on_answer_body = _ignore
        if self._transport is not None:
            self._transport.abort()

    def pause(self) -> None:
        """The client is slower than the provider: stop reading, and stop the stall clock."""
        if self._paused or self._transport is None or self._transport.is_closing():
            return
        self._paused = True
        self.deadline = NEVER
        self._transport.pause_reading()

    def resume(self) -> None:
        if not self._paused:
            return
        self._paused = False
        self.deadline = self._clock() + self._timeouts.stall_s
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()

    # the reader's side

    def on_answer_head(self, head: ResponseHead) -> None:
        self._reusable = self._reusable and head.keep_alive
        listener = self._listener
        if listener is not None:
            # Body pieces go straight to the listener: this is the path of every streamed event.
            self.on_answer_body = listener.on_answer_body
            listener.on_answer_head(head)

    def on_whole_answer(self, head: ResponseHead, body: bytes) -> None:
        listener, self._listener = self._listener, None
        self._reusable = self._reusable and head.keep_alive
        if listener is not None:
            listener.on_whole_answer(head, body)

    def on_answer_end(self) -> None:
        listener, self._listener = self._listener, None
        self.on_answer_body = _ignore
        if listener is not None:
            listener.on_answer_end()

    # inside

    def _settle(self) -> None:
        """The answer is over: back to the pool, or closed where there is any doubt."""
        if self._paused:
            self.resume()
        transport = self._transport
        assert transport is not None
        # A request not fully written yet would be followed by the next one's bytes.
        if self._reusable and self._reader.clean and transport.get_write_buffer_size() == 0:
            self.deadline = self.read_began_at + self._timeouts.idle_s
            released = self._released
            released(self)
        else:
            self.close()

    def _lose(self, why: Lost) -> None:
        listener, self._listener = self._listener, None
        self.on_answer_body = _ignore
        self._reusable = False
        if listener is not None:
            if why in {Lost.CLOSED, Lost.RESET} and not self._answered and self.requests_sent > 1:
                why = Lost.STALE
            listener.on_answer_lost(why)
        if self._transport is not None:
            self._transport.abort()


def _ignore(data: bytes) -> None:
    """Nobody waits for these bytes any more."""
