"""A large object that comes again with another end to its longest list, as a conversation does.

Where a text begins and ends as one that was read before, and the members between begin and end inside
the same list, a parser comes through it in the same states: only the list's new elements are to be
read. Of the earlier text are kept the lengths and keyed digests of its two ends, its members' names and
copies of the small members that matter to the reader.
"""

from __future__ import annotations

from itertools import islice

import msgspec

from byline.wire.compact import CompactText, Members
from byline.wire.json_members import JsonError, check_utf8
from byline.wire.keyed_digest import Digest

OPEN_ELEMENTS = 4
"""Left out of what must be the same: clients rewrite the last ones (cache marks) when they add more."""
MAX_NEW_BYTES = 24 * 1024
"""Beyond it remembering the text anew pays."""
MAX_WATCHED_BYTES = 4096
"""Of these members copies are kept."""

_elements = msgspec.json.Decoder(list[msgspec.Raw]).decode
_FAILURES = (msgspec.MsgspecError, ValueError, RecursionError)


class KnownText:
    """The digests of a text's two ends, and what was read of it."""

    __slots__ = (
        "_digest",
        "_end",
        "_end_bytes",
        "_shape",
        "_spans",
        "_start",
        "_start_bytes",
        "_watched",
        "_whole_bytes",
    )

    def __init__(self, digest: Digest, text: memoryview, cut: int, end_at: int, found: CompactText) -> None:
        self._digest = digest
        self._start_bytes, self._end_bytes = cut, len(text) - end_at
        self._start, self._end = digest(text[:cut]), digest(text[end_at:])
        self._whole_bytes = len(text)
        self._shape, self._watched = found.shape, found.watched()
        self._spans = {name: found.span(name, len(text)) for name in found.shape.watched}

    def covers(self, text: memoryview) -> bool:
        """Whether `text` is this one with other last elements, and so as good as read."""
        end_at = len(text) - self._end_bytes
        if not 0 < end_at - self._start_bytes <= MAX_NEW_BYTES:
            return False
        if self._digest(text[end_at:]) != self._end or self._digest(text[: self._start_bytes]) != self._start:
            return False
        middle = b"[%b]" % text[self._start_bytes : end_at]
        try:
            if not middle.isascii():
                check_utf8(middle)
            return bool(_elements(middle))
        except (JsonError, *_FAILURES):
            return False

    def key(self, prefix: bytes) -> bytes:
        """As `Shape.key`."""
        return self._shape.key(prefix, self._watched)

    def watched(self) -> Members:
        return self._watched

    def span(self, name: str, length: int) -> tuple[int, int]:
        """Where a member stands in a text of that length which is covered."""
        start, end = self._spans[name]
        shift = length - self._whole_bytes if start > self._start_bytes else 0
        return start + shift, end + shift


def remember(text: memoryview, found: CompactText, digest: Digest) -> KnownText | None:
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
    watched_bytes = sum(len(values[each]) for each in found.shape.watched)
    if end - cut > MAX_NEW_BYTES // 2 or watched_bytes > MAX_WATCHED_BYTES:
        return None
    return KnownText(digest, text, cut, end - 1, found)
