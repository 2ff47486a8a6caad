"""What is proved by length alone is what reading every byte would say."""

from __future__ import annotations

import json
import tracemalloc

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from byline.wire.compact import MAX_FRAME_BYTES, MAX_MEMBERS, CompactReader
from byline.wire.json_members import JsonError, read_object

NAMES = st.sampled_from(["a", "model", "metadata", "é", 'q"', "\\", "\u0001", "tab\t", "\U0001f600", ""])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=8,
)


@st.composite
def objects(draw: st.DrawFn) -> bytes:
    """Members in any spelling, some twice, with or without blanks."""
    blank = draw(st.sampled_from(["", "", "", " ", "\n"]))
    pairs = [
        blank.join(
            (
                "",
                json.dumps(name, ensure_ascii=draw(st.booleans())),
                ":",
                json.dumps(value, separators=(",", ":")),
            )
        )
        for name, value in draw(st.lists(st.tuples(NAMES, VALUES), max_size=5))
    ]
    return ("{" + f",{blank}".join(pairs) + "}").encode()


@given(objects())
def test_a_compact_object_has_no_name_twice_and_its_values_where_they_are_said_to_be(text: bytes) -> None:
    found = CompactReader(["metadata", "a"]).read(text)
    slow = read_object(text)
    if found is None:
        assert slow.duplicates or len(text) != len(msgspec.json.encode(slow.values)) or not slow.values
        return
    assert not slow.duplicates
    values = found.values
    assert list(values) == list(slow.values)
    for name, raw in values.items():
        start, end = found.span(name, len(text))
        assert (start, end) == slow.span(name)
        assert text[start:end] == bytes(raw)
    assert found.shape.watched == tuple(name for name in values if name in {"metadata", "a"})


@given(objects(), st.integers(0, 60), st.sampled_from([b"", b"}", b",", b" ", b"\xff", b'"a":1,']))
def test_what_the_thorough_reader_refuses_is_never_compact(text: bytes, at: int, spoil: bytes) -> None:
    text = text[:at] + spoil + text[at + 1 :]
    try:
        slow = read_object(text)
    except JsonError:
        assert CompactReader(()).read(text) is None
    else:
        assert not slow.duplicates or CompactReader(()).read(text) is None


def test_a_name_spelled_longer_than_need_be_is_not_compact() -> None:
    assert CompactReader(()).read(b'{"\\u0061":1}') is None
    assert CompactReader(()).read(b'{"a":1}') is not None


def test_a_view_is_read_like_bytes() -> None:
    found = CompactReader(["b"]).read(memoryview(b'..{"a":[1],"b":2}')[2:])
    assert found is not None
    assert found.span("b", 15) == (13, 14)


def test_objects_of_many_members_are_left_to_the_thorough_reader() -> None:
    many = {str(number): number for number in range(MAX_MEMBERS + 1)}
    assert CompactReader(()).read(msgspec.json.encode(many)) is None
    many.popitem()
    assert CompactReader(()).read(msgspec.json.encode(many)) is not None


def test_what_is_kept_of_names_is_bounded() -> None:
    reader = CompactReader({"model"})
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        for number in range(100):
            assert reader.read(b'{"%d%b":1}' % (number, b"x" * 100_000)) is None
        assert tracemalloc.get_traced_memory()[0] - before < 100_000
    finally:
        tracemalloc.stop()
    longest = b"x" * (MAX_FRAME_BYTES - len(b'{"":}'))
    assert reader.read(b'{"%b":1}' % longest) is not None
    assert reader.read(b'{"%bx":1}' % longest) is None
