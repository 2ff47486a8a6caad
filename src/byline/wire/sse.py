"""Server-sent events out of a byte stream that is cut anywhere, in bounded memory.

Hands out whole events and lets the caller decide what to look at, so that an event nobody wants
costs a few scans of its bytes. Never changes what a client receives: this is a reader's copy.
"""

from __future__ import annotations

BLANK_LINES = (b"\n\n", b"\r\n\r\n")
MAX_EVENT_BYTES = 32 * 1024 * 1024
"""Closing events repeat the whole answer, and an answer may hold several images."""


class SseFramer:
    """Collects bytes into whole events, separated by blank lines."""

    __slots__ = ("_limit", "_rest", "_skip_lf", "_skipping", "dropped", "is_between")

    def __init__(self, limit: int = MAX_EVENT_BYTES) -> None:
        self.dropped = 0
        """Events over the limit, not kept."""
        self.is_between = True
        """All that came were whole events: what ends in a blank line now is whole as well."""
        self._limit = limit
        self._rest = bytearray()
        self._skipping = False
        self._skip_lf = False

    def feed(self, data: bytes) -> bytes:
        """The events that are whole now, each with the blank line that ends it; empty if none is.

        Line ends may be CRLF or CR still: `parse_event` takes what `with_lf` returns.
        """
        if self.is_between and data.endswith(BLANK_LINES):
            return data
        events = self._collect(self._with_lf(data))
        self.is_between = not (self._rest or self._skip_lf)
        return events

    def finish(self) -> bytes:
        """An event that the end of the body cut off before its blank line."""
        if self._skipping or not self._rest:
            return b""
        rest = bytes(self._rest)
        self._rest.clear()
        return rest + b"\n\n"

    def _with_lf(self, data: bytes) -> bytes:
        if self._skip_lf and data:
            data = data.removeprefix(b"\n")
            self._skip_lf = False
        self._skip_lf = self._skip_lf or data.endswith(b"\r")
        return with_lf(data)

    def _collect(self, data: bytes) -> bytes:
        rest = self._rest
        seen = len(rest)
        rest += data
        end = rest.rfind(b"\n\n", max(0, seen - 1))
        if end < 0:
            if len(rest) > self._limit or self._skipping:
                self._drop()
            return b""
        whole = bytes(rest[: end + 2])
        del rest[: end + 2]
        if self._skipping:
            self._skipping = False
            whole = whole[whole.index(b"\n\n") + 2 :]
        return whole

    def _drop(self) -> None:
        if not self._skipping:
            self._skipping = True
            self.dropped += 1
        del self._rest[:-1]  # a blank line may be half here


def with_lf(text: bytes) -> bytes:
    """The same lines, each ended by LF."""
    return text if text.find(b"\r") < 0 else text.replace(b"\r\n", b"\n").replace(b"\r", b"\n")


def parse_event(event: bytes) -> tuple[bytes, bytes]:
    """The name and the data of one event, its data lines joined as the standard says."""
    name = b""
    data: list[bytes] = []
    for line in event.split(b"\n"):
        field, _, value = line.partition(b":")
        if field == b"data":
            data.append(value.removeprefix(b" "))
        elif field == b"event":
            name = value.removeprefix(b" ")
    return name, b"\n".join(data)
