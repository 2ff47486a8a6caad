"""Hides the usage event of a chat stream that only Byline asked for.

Hides events with a usage and empty `choices`, and nothing else: clients that never asked for them
index `choices[0]`. All other bytes go on at once and unchanged; only the start of an event that may
still turn out to be that one waits for its end, up to 64 KiB.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from byline.apis import values
from byline.apis.api import Buffer
from byline.wire.sse import parse_event, with_lf

MAX_HELD_BYTES = 64 * 1024

# Two line ends in a row. A CR at the very end may be half of a CRLF, so it ends no line yet.
_BLANK_LINE = re.compile(rb"(?>\r\n|[\r\n])(?:\r\n|\n|\r(?!\n|\Z))")
_LONGEST_BLANK_LINE = 4
_WITH_CHOICES = re.compile(rb'"choices"\s*:\s*\[\s*[^\s\]]')
_NO_OBJECT = re.compile(rb"\s*data: ?\s*[^\s{]")
_LOOK_BACK = 64
"""Both patterns fit in it, unless a server pads with blanks: then the event waits for its end."""


class UsageEventFilter:
    """`feed` and `finish` return the bytes to relay now."""

    __slots__ = ("_held", "_passing")

    def __init__(self) -> None:
        self._held = b""
        self._passing: bytes | None = None
        """The last bytes of an event that is on its way before its end has been seen."""

    def feed(self, data: Buffer) -> bytes:
        data = data if isinstance(data, bytes) else bytes(data)
        if self._passing is not None:
            return self._pass_on(data)
        if not self._held and data.endswith(b"\n\n") and not values.has_value(data, b'"usage"'):
            return data
        return self._sift(self._held + data, seen=len(self._held))

    def finish(self) -> bytes:
        """What was held when the stream ended, unless it is the event to hide."""
        held, self._held = self._held, b""
        return b"" if _is_usage_event(held) else held

    def _pass_on(self, data: bytes) -> bytes:
        before = self._passing or b""
        text = before + data
        end = next(_event_ends(text, 0), None)
        if end is None:
            self._passing = text[1 - _LONGEST_BLANK_LINE :]
            return data
        self._passing = None
        cut = end - len(before)
        return data[:cut] + self._sift(data[cut:], seen=0)

    def _sift(self, text: bytes, seen: int) -> bytes:
        """Relays the whole events of `text` but the one to hide; then decides about the rest."""
        start = 0
        kept: list[bytes] = []
        for end in _event_ends(text, max(0, seen - _LONGEST_BLANK_LINE)):
            event = text[start:end]
            start = end
            if not _is_usage_event(event):
                kept.append(event)
        self._held = text[start:]
        if self._held and not _may_be_usage_event(self._held, max(0, seen - start - _LOOK_BACK)):
            kept.append(self._held)
            self._passing = self._held[1 - _LONGEST_BLANK_LINE :]
            self._held = b""
        return b"".join(kept)


def _event_ends(text: bytes, at: int) -> Iterator[int]:
    if text.find(b"\r", at) >= 0:
        yield from (found.end() for found in _BLANK_LINE.finditer(text, at))
        return
    while (end := text.find(b"\n\n", at)) >= 0:
        at = end + 2
        yield at


def _may_be_usage_event(opening: bytes, at: int) -> bool:
    return not (
        len(opening) > MAX_HELD_BYTES or _NO_OBJECT.match(opening) or _WITH_CHOICES.search(opening, at)
    )


def _is_usage_event(event: bytes) -> bool:
    if not values.has_value(event, b'"usage"'):
        return False
    _, data = parse_event(with_lf(event))
    chunk = values.members(data) or {}
    choices = chunk.get("choices")
    no_choices = choices is not None and values.array(choices) == []
    return no_choices and values.members(chunk.get("usage")) is not None
