"""A large object that comes again with another end to its longest list, as a conversation does.

Where a text begins and ends as one that was read before, and the members between begin and end inside
the same list, a parser comes through it in the same states: only the list's new elements are to be
read. So a history of 200 KB costs a comparison instead of a parse.
"""

from __future__ import annotations

from itertools import islice

import msgspec

from byline.wire.compact import CompactText, Members
from byline.wire.json_members import JsonError, check_utf8

OPEN_ELEMENTS = 4
"""Left out of what must be the same: clients rewrite the last ones (cache marks) when they add more."""
MAX_NEW_BYTES = 24 * 1024
"""Beyond it remembering the text anew pays."""

_elements = msgspec.json.Decoder(list[msgspec.Raw]).decode
_FAILURES = (msgspec.MsgspecError, ValueError, RecursionError)


class KnownText:
    """The two ends of a text, and what was read of it."""

    __slots__ = ("_end", "_spans", "_start", "_watched", "_whole_bytes", "kept_bytes")

    def __init__(self, start: bytes, end: bytes, whole: CompactText, whole_bytes: int) -> None:
        self._start = start
        self._end = end
        self._whole_bytes = whole_bytes
        self._watched = CompactText(whole.shape, whole.watched())
        self._spans = {name: whole.span(name, whole_bytes) for name in whole.shape.watched}
        self.kept_bytes = len(start) + len(end)

    def covers(self, data: bytes, begin: int) -> bool:
        """Whether `data[begin:]` is this text with other last elements, and so as good as read."""
        middle_begins, middle_ends = begin + len(self._start), len(data) - len(self._end)
        if not 0 < middle_ends - middle_begins <= MAX_NEW_BYTES:
            return False
        if not data.startswith(self._start, begin) or not data.endswith(self._end):
            return False
        middle = b"[%b]" % data[middle_begins:middle_ends]
        try:
            if not middle.isascii():
                check_utf8(middle)
            return bool(_elements(middle))
        except (JsonError, *_FAILURES):
            return False

    def key(self, prefix: bytes) -> bytes:
        """As `CompactText.key`."""
        return self._watched.key(prefix)

    def watched(self) -> Members:
        return self._watched.watched()

    def span(self, name: str, length: int) -> tuple[int, int]:
        """Where a member stands in a text of that length which is covered."""
        start, end = self._spans[name]
        shift = length - self._whole_bytes if start > len(self._start) else 0
        return start + shift, end + shift


def remember(text: memoryview, found: CompactText) -> KnownText | None:
    """None where little would be saved: no long list, or one of few elements."""
    values = found.values
    name = max(values, key=lambda each: len(values[each]))
    try:
        elements = _elements(values[name])
    except _FAILURES:
        return None
    begin, end = found.span(name, len(text))
    fixed = len(elements) - OPEN_ELEMENTS
    if name in found.shape.watched or fixed < 1 or end - begin != sum(map(len, elements)) + len(elements) + 1:
        return None  # blanks between elements: it is not known where they stand
    cut = begin + 1 + sum(map(len, islice(elements, fixed))) + fixed
    if end - cut > MAX_NEW_BYTES // 2:
        return None
    return KnownText(bytes(text[:cut]), bytes(text[end - 1 :]), found, len(text))
