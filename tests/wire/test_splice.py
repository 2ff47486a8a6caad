"""Edits by byte range."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from byline.wire.splice import Edit, splice


@given(
    st.binary(max_size=80), st.lists(st.tuples(st.integers(0, 80), st.integers(0, 80), st.binary(max_size=5)))
)
def test_a_splice_equals_cutting_and_joining(source: bytes, wanted: list[tuple[int, int, bytes]]) -> None:
    edits: list[Edit] = []
    expected, free = bytearray(source), len(source)
    for first, second, text in sorted(wanted, reverse=True):
        start, end = min(first, second), max(first, second)
        if end <= free and end <= len(source):
            edits.append((start, end, text))
            expected[start:end] = text
            free = start if start < end else start - 1
    pieces, length = splice(source, edits)
    assert b"".join(pieces) == bytes(expected)
    assert length == len(expected)


def test_a_splice_copies_nothing_of_the_source() -> None:
    source = b"x" * 1000
    pieces, _ = splice(source, [(500, 501, b"y")])
    assert [type(piece) for piece in pieces] == [memoryview, bytes, memoryview]
    assert all(piece.obj is source for piece in pieces if isinstance(piece, memoryview))
