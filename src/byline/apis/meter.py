"""Drives an API's reader over an answer's bytes, in any split and in bounded memory.

Frames events, skips those the reader has no use for before any JSON is parsed, and gathers blocking
bodies. What the fields mean is the reader's business.
"""

from __future__ import annotations

from typing import Protocol

from byline.apis.api import Meter, Reading
from byline.wire.sse import BLANK_LINES, MAX_EVENT_BYTES, SseFramer, parse_event, with_lf

_EVENT_OPENINGS = (b"d", b"e", b":")
MAX_BODY_BYTES = 64 * 1024 * 1024


class AnswerReader(Protocol):
    """Takes the parts of an answer that matter and says what was used. Must not raise."""

    # `find` rather than `in`: bytes first try to be an integer there, which costs as much again.

    def wants(self, events: bytes) -> bool:
        """Whether these bytes may hold an event of interest; a false yes only costs time."""
        ...

    def read_event(self, name: bytes, data: bytes) -> None: ...
    def read_body(self, body: bytes) -> None: ...
    def read_end(self) -> None:
        """The answer has ended as its framing promised."""
        ...

    def reading(self) -> Reading: ...


class AnswerMeter:
    """The Meter of every API. An event over 32 MiB or a body over 64 MiB goes unread, and is counted."""

    __slots__ = (
        "_body",
        "_body_bytes",
        "_dropped",
        "_expects_stream",
        "_framer",
        "_max_body_bytes",
        "_max_event_bytes",
        "_reader",
    )

    def __init__(
        self,
        reader: AnswerReader,
        *,
        streaming: bool,
        max_event_bytes: int = MAX_EVENT_BYTES,
        max_body_bytes: int = MAX_BODY_BYTES,
    ) -> None:
        self._reader = reader
        self._expects_stream = streaming
        self._max_event_bytes = max_event_bytes
        self._framer: SseFramer | None = None
        self._max_body_bytes = max_body_bytes
        self._body: list[bytes] = []
        self._body_bytes = 0
        self._dropped = 0

    @property
    def dropped(self) -> int:
        return self._dropped + (0 if self._framer is None else self._framer.dropped)

    def feed(self, data: bytes) -> None:
        framer = self._framer
        if framer is None:
            self._take_unframed(data)
            return
        # Paced streams bring one whole event a read: that is told here, without a call.
        events = data if framer.is_between and data.endswith(BLANK_LINES) else framer.feed(data)
        if events and self._reader.wants(events):
            self._read(events)

    def finish(self) -> None:
        if self._framer is not None:
            self._read(self._framer.finish())
        elif self._body:
            self._reader.read_body(b"".join(self._body))
            self._body.clear()
        self._reader.read_end()

    def reading(self) -> Reading:
        return self._reader.reading()

    def _take_unframed(self, data: bytes) -> None:
        if self._body:
            self._gather(data)
        elif not self._dropped:
            self._begin(data)

    def _begin(self, data: bytes) -> None:
        data = data.lstrip()
        if data and _is_stream(data, self._expects_stream):
            self._framer = SseFramer(self._max_event_bytes)
            self.feed(data)
        elif data:
            self._gather(data)

    def _gather(self, data: bytes) -> None:
        self._body.append(data)
        self._body_bytes += len(data)
        if self._body_bytes > self._max_body_bytes:
            self._body.clear()
            self._dropped = 1

    def _read(self, events: bytes) -> None:
        for event in with_lf(events).split(b"\n\n"):
            if event and self._reader.wants(event):
                self._reader.read_event(*parse_event(event))


def read_whole(meter: Meter, body: bytes, reading: Reading) -> None:
    """Puts all that the meter says of the body into `reading`."""
    meter.feed(body)
    meter.finish()
    found = meter.reading()
    for name in Reading.__struct_fields__:
        setattr(reading, name, getattr(found, name))


def _is_stream(opening: bytes, expected: bool) -> bool:
    """Refused streams come back as JSON, and some servers stream without saying so in a header.

    No event begins with a brace, and no JSON body as `data:`, `event:` or a comment does.
    """
    return not opening.startswith(b"{") if expected else opening.startswith(_EVENT_OPENINGS)
