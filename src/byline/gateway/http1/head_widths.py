"""Heads like an earlier one whose changing values are as long as that one's: taken apart by position.

A template finds the values by their surroundings, which passes over all of the head, byte by byte. Where dates,
ids and shares are as long as the last time, cutting at the same places and comparing the pieces between them
tells the same for a third of the cost.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from itertools import pairwise

from byline.wire.pick import pick

Parts = tuple[bytes, ...]
Span = tuple[int, int]
_FORBIDDEN = bytes({*range(0x20), 0x7F} - {ord("\t")})
_OTHER_IF_FORBIDDEN = bytes.maketrans(_FORBIDDEN, b" " * len(_FORBIDDEN))


class HeadWidths:
    """Of heads as long as `block`. `values` and `travelling` are spans of it, in order and none within another."""

    __slots__ = ("_cut", "_fixed", "_fixed_of", "travelling_of", "values_of")

    def __init__(self, block: bytes, values: Sequence[Span], travelling: Sequence[Span]) -> None:
        """`travelling`: what goes back to the client."""
        edges = sorted({0, len(block), *(edge for span in (*values, *travelling) for edge in span)})
        spans = list(pairwise(edges))
        self._cut = struct.Struct("".join(f"{end - start}s" for start, end in spans)).unpack
        self.values_of = pick([spans.index(span) for span in values])
        self.travelling_of = pick(
            [at for at, span in enumerate(spans) if any(a <= span[0] and span[1] <= b for a, b in travelling)]
        )
        fixed = [at for at, span in enumerate(spans) if span not in values]
        self._fixed_of = pick(fixed)
        self._fixed = self._fixed_of(self._cut(block))

    def cut(self, block: bytes) -> Parts | None:
        """The parts of a block of that length; None where more than its values differ, or one has forbidden bytes."""
        parts: Parts = self._cut(block)
        if self._fixed_of(parts) != self._fixed:
            return None
        values = b"".join(self.values_of(parts))
        return parts if values.translate(_OTHER_IF_FORBIDDEN) == values else None
