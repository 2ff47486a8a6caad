"""JSON objects as programs write them: no blanks between members, no name twice. Read by length alone.

Every name has one shortest spelling, and each occurrence of a member costs bytes. So a text that is
exactly as long as its last occurrences would be, written with no blanks, holds nothing else: no name
repeats, and the length of the values tells where each of them stands. That is a proof for the price
of a sum, where rendering or walking would pass over the text once more.
"""

from __future__ import annotations

from collections.abc import Collection
from itertools import accumulate

import msgspec

from byline.wire.pick import pick

MAX_MEMBERS = 64
MAX_FRAME_BYTES = 4096
"""Of the names with what is around them: those of each shape are kept."""
MAX_SHAPES = 1024

Members = dict[str, msgspec.Raw]
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Members).decode


class Shape:
    """What objects with the same names in the same order have in common."""

    __slots__ = ("frame_bytes", "places", "tag", "watched", "watched_of")

    def __init__(self, names: tuple[str, ...], watched: Collection[str]) -> None:
        self.places: dict[str, tuple[int, int]] = {}
        """Of each name: the number of its value, and how many bytes that are no values stand before it."""
        at = 1
        for index, name in enumerate(names):
            at += len(_encode(name)) + 1
            self.places[name] = index, at
            at += 1
        self.frame_bytes = at
        """All that is no value: braces, names, colons, commas."""
        self.watched = tuple(name for name in names if name in watched)
        """Those of the names that matter to the reader, in order."""
        self.watched_of = pick(self.watched)
        self.tag = _encode(self.watched)

    def key(self, prefix: bytes, values: Members) -> bytes:
        """What the watched members are, as bytes that nothing else has."""
        return b"\0".join((prefix, self.tag, *self.watched_of(values)))


class CompactText(msgspec.Struct, frozen=True, gc=False):
    """One such object. Its values are views of the text."""

    shape: Shape
    values: Members
    ends: list[int]
    """How long the first value is, the first two together, and so on."""

    def key(self, prefix: bytes) -> bytes:
        """As `Shape.key`."""
        return self.shape.key(prefix, self.values)

    def watched(self) -> Members:
        """Copies, which don't keep the text alive."""
        return {name: self.values[name].copy() for name in self.shape.watched}

    def span(self, name: str, length: int) -> tuple[int, int]:
        """Where the value of a member stands. `length` is the text's."""
        number, before = self.shape.places[name]
        end = before + self.ends[number]
        return end - len(self.values[name]), end


class CompactReader:
    """`watched`: names of the members that make a difference to whoever reads."""

    __slots__ = ("_shapes", "_watched")

    def __init__(self, watched: Collection[str]) -> None:
        self._watched = watched
        self._shapes: dict[tuple[str, ...], Shape] = {}

    def read(self, text: bytes | memoryview) -> CompactText | None:
        """None for what is not compact, or no JSON object at all. Broken UTF-8 is for the caller to find."""
        try:
            values = _decode(text)
        except (msgspec.MsgspecError, ValueError, RecursionError):
            return None
        shape = self._shapes.get(tuple(values)) or self._shape_of(values)
        if shape is None:
            return None
        ends = list(accumulate(map(len, values.values())))
        return CompactText(shape, values, ends) if shape.frame_bytes + ends[-1] == len(text) else None

    def _shape_of(self, values: Members) -> Shape | None:
        if not 0 < len(values) <= MAX_MEMBERS:
            return None
        if len(self._shapes) >= MAX_SHAPES:
            self._shapes.clear()
        names = tuple(values)
        shape = Shape(names, self._watched)
        if shape.frame_bytes > MAX_FRAME_BYTES:
            return None
        self._shapes[names] = shape
        return shape
