"""An upstream's answer, read by llhttp; anything doubtful about its framing is an error."""

from __future__ import annotations

from typing import Protocol

import httptools
import msgspec

MAX_HEAD_BYTES = 262_144
_BODYLESS = frozenset({204, 304})


class ResponseHead(msgspec.Struct, gc=False):
    status: int
    reason: bytes
    fields: list[tuple[bytes, bytes, bytes]]
    """(lower-case name, value, name as sent), in order."""
    content_length: int | None = None
    chunked: bool = False
    keep_alive: bool = True

    def get(self, name: bytes) -> bytes | None:
        for lower, value, _ in self.fields:
            if lower == name:
                return value
        return None


class AnswerFramingError(Exception):
    """The upstream's bytes are not one clean HTTP/1.1 answer: never reuse its connection."""


class AnswerListener(Protocol):
    def on_answer_head(self, head: ResponseHead) -> None: ...
    def on_answer_body(self, data: bytes) -> None: ...
    def on_answer_end(self) -> None: ...


class ResponseReader:
    """Reads one answer per request sent on a connection. Interim (1xx) answers are passed over."""

    def __init__(self) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self._listener: AnswerListener | None = None
        self._headless = False
        self._fields: list[tuple[bytes, bytes, bytes]] = []
        self._reason = b""
        self._head: ResponseHead | None = None
        self._head_bytes = 0
        self.clean = True
        """False once something came that belongs to no request."""

    def expect(self, listener: AnswerListener, *, to_head_request: bool = False) -> None:
        self._listener = listener
        self._headless = to_head_request
        self._head = None
        self._head_bytes = 0

    @property
    def until_close(self) -> bool:
        """The body of the answer under way ends where the connection does."""
        head = self._head
        return head is not None and not head.chunked and head.content_length is None

    def feed(self, data: bytes) -> None:
        """Raises AnswerFramingError."""
        if self._head is None:
            self._head_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserCallbackError as error:
            raise error.__context__ or error from None
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            raise AnswerFramingError("malformed answer") from error
        if self._head is None and self._head_bytes > MAX_HEAD_BYTES:
            raise AnswerFramingError("the answer's head is too long")

    # llhttp's callbacks

    def on_message_begin(self) -> None:
        self._fields = []
        self._reason = b""
        if self._listener is None:
            self.clean = False

    def on_status(self, reason: bytes) -> None:
        self._reason += reason

    def on_header(self, name: bytes, value: bytes) -> None:
        self._fields.append((name.lower(), value, name))

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if self._listener is None or 100 <= status < 200:
            return
        head = ResponseHead(status, self._reason, self._fields)
        _apply_framing(head, self._parser.should_keep_alive())
        if self._headless or status in _BODYLESS:
            head.content_length, head.chunked = 0, False
        self._head = head
        self._listener.on_answer_head(head)
        if self._headless:
            # llhttp doesn't know that the request was a HEAD and would wait for a body.
            self.clean = False
            self.on_message_complete()

    def on_body(self, data: bytes) -> None:
        if self._head is not None and self._listener is not None:
            self._listener.on_answer_body(data)

    def on_message_complete(self) -> None:
        if self._head is None:
            return
        listener, self._listener, self._head = self._listener, None, None
        if listener is not None:
            listener.on_answer_end()


def _apply_framing(head: ResponseHead, keep_alive: bool) -> None:
    """llhttp has refused contradictions; here it is only written down what it decided."""
    for name, value, _ in head.fields:
        if name == b"content-length":
            if head.content_length is not None or not value.isdigit():
                raise AnswerFramingError("ambiguous Content-Length")
            head.content_length = int(value)
        elif name == b"transfer-encoding":
            if value.lower() != b"chunked" or head.chunked:
                raise AnswerFramingError("unknown Transfer-Encoding")
            head.chunked = True
    if head.chunked and head.content_length is not None:
        raise AnswerFramingError("ambiguous length")
    head.keep_alive = keep_alive and (head.chunked or head.content_length is not None)
