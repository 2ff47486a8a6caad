"""One connection's answers: heads read strictly, chunked bodies by llhttp, any doubt an error."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum, auto
from typing import Protocol

import httptools
from msgspec.structs import replace

from byline.gateway.http1.answer_heads import AnswerHeads
from byline.gateway.http1.response_head import AnswerFramingError, ResponseHead

MAX_HEAD_BYTES = 262_144
MAX_INTERIM = 64
_BODYLESS = frozenset({204, 304})
_LAST_CHUNK = b"0\r\n\r\n"
_CHUNKED_HEAD = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"


class AnswerListener(Protocol):
    on_answer_body: Callable[[bytes], None]
    """Looked up anew for each read: an attempt that was given up no longer listens."""

    def on_answer_head(self, head: ResponseHead) -> None: ...
    def on_whole_answer(self, head: ResponseHead, body: bytes) -> None:
        """Instead of the others, where an answer with a stated length came in one read."""
        ...

    def on_answer_end(self) -> None: ...


class _Expects(Enum):
    NOTHING = auto()
    HEAD = auto()
    SIZED_BODY = auto()
    CHUNKED_BODY = auto()
    BODY_UNTIL_CLOSE = auto()


# CPython 3.11 takes a metaclass's way to a member: each of these is read for every answer.
_NOTHING, _HEAD = _Expects.NOTHING, _Expects.HEAD


class ResponseReader:
    """Reads one answer per request sent. Interim (1xx) answers are passed over."""

    def __init__(self, listener: AnswerListener, heads: AnswerHeads | None = None) -> None:
        self._listener = listener
        self._heads = heads or AnswerHeads()
        self._expects = _NOTHING
        self._to_head_request = False
        self._interim = 0
        self._partial = b""
        self._left = 0
        self.chunks: ChunkReader | None = None
        """Where a chunked body is under way."""
        self.clean = True
        """False once something came that belongs to no request."""

    def expect(self, to_head_request: bool = False) -> None:
        self._expects = _HEAD
        self._interim = 0
        self._to_head_request = to_head_request

    @property
    def until_close(self) -> bool:
        """The body of the answer under way ends where the connection does."""
        return self._expects is _Expects.BODY_UNTIL_CLOSE

    def feed(self, data: bytes) -> None:
        """Raises AnswerFramingError."""
        expects = self._expects
        if expects is _HEAD:
            rest = self._take_head(self._partial + data if self._partial else data)
            if rest:
                self.feed(rest)
        elif expects is _Expects.CHUNKED_BODY:
            self._take_chunks(data)
        elif expects is _Expects.SIZED_BODY:
            self._take_sized(data)
        elif expects is _Expects.BODY_UNTIL_CLOSE:
            self._listener.on_answer_body(data)
        else:
            self.clean = False

    def _take_head(self, data: bytes) -> bytes:
        """Returns what follows the head."""
        self._partial = b""
        block, end, rest = data.partition(b"\r\n\r\n")
        while end:
            head = self._heads.read(block)
            if head.status == 200 and 0 < len(rest) == head.content_length and not self._to_head_request:
                self._expects = _NOTHING
                self._listener.on_whole_answer(head, rest)
                return b""
            if head.status >= 200:
                self._begin_body(head)
                return rest
            self._interim += 1
            if head.status == 101 or self._interim > MAX_INTERIM:
                raise AnswerFramingError(
                    "a switch of protocols nobody asked for, or no end of interim answers"
                )
            block, end, rest = rest.partition(b"\r\n\r\n")
        if len(block) > MAX_HEAD_BYTES or b"\n" in block.replace(b"\r\n", b""):
            raise AnswerFramingError("malformed answer")
        self._partial = block
        return b""

    def _begin_body(self, head: ResponseHead) -> None:
        if head.status in _BODYLESS:
            head = replace(head, chunked=False, content_length=0)
        if self._to_head_request:  # its length is what a GET would bring
            self._expects, self._left = _Expects.SIZED_BODY, 0
        elif head.chunked:
            self._expects = _Expects.CHUNKED_BODY
            self.chunks = ChunkReader(self._listener)
        elif head.content_length is None:
            self._expects = _Expects.BODY_UNTIL_CLOSE
            head = replace(head, keep_alive=False)
        else:
            self._expects = _Expects.SIZED_BODY
            self._left = head.content_length
        self._listener.on_answer_head(head)
        if self._expects is _Expects.SIZED_BODY and self._left == 0:
            self._end()

    def _take_sized(self, data: bytes) -> None:
        if len(data) > self._left:
            self.clean = False
            data = data[: self._left]
        self._left -= len(data)
        self._listener.on_answer_body(data)
        if self._left == 0:
            self._end()

    def _take_chunks(self, data: bytes) -> None:
        chunks = self.chunks
        assert chunks is not None
        if chunks.is_between and data == _LAST_CHUNK:
            self._end()
            return
        chunks.feed(data)
        if chunks.done:
            self.clean = self.clean and not chunks.overrun
            self._end()

    def _end(self) -> None:
        self._expects = _NOTHING
        self.chunks = None
        self._listener.on_answer_end()


class ChunkReader:
    """llhttp, told that a chunked body comes."""

    def __init__(self, listener: AnswerListener) -> None:
        self._listener = listener
        self.done = False
        self.overrun = False
        self.is_between = True
        """All that came were whole chunks: the next byte begins another's size."""
        self._parser: httptools.HttpResponseParser | None = None

    def feed(self, data: bytes) -> None:
        parser = self._parser
        if parser is None:
            parser = self._parser = httptools.HttpResponseParser(self)
            parser.feed_data(_CHUNKED_HEAD)
        try:
            parser.feed_data(data)
        except httptools.HttpParserCallbackError as error:
            raise error.__context__ or error from None
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            if not self.done:
                raise AnswerFramingError("malformed chunks") from error
            self.overrun = True
        # Digits of a next size may have come already, but they don't end so.
        self.is_between = self.is_between and data.endswith(b"\r\n")

    def on_chunk_header(self) -> None:
        self.is_between = False

    def on_chunk_complete(self) -> None:
        self.is_between = True

    def on_body(self, data: bytes) -> None:
        if not self.done:  # else of an answer to no request, in the same read as the end of this one
            self._listener.on_answer_body(data)

    def on_message_begin(self) -> None:
        self.overrun = self.done

    def on_message_complete(self) -> None:
        self.done = True
