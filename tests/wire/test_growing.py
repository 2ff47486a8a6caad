"""A text taken for known is one that a parser would read to the same end."""

from __future__ import annotations

import json

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from byline.wire import growing
from byline.wire.compact import CompactReader, CompactText
from byline.wire.growing import KnownText
from byline.wire.json_members import JsonError, check_utf8, read_object
from byline.wire.keyed_digest import new_keyed_digest

READER = CompactReader(["metadata", "model"])
DIGEST = new_keyed_digest()
ELEMENTS = st.sampled_from(
    ['{"role":"user"}', "1", '"é"', '"\\u00e9"', "[]", '{"metadata":{"user_id":"x"}}', '"],"', "null"]
)
ENDS = st.sampled_from([
    "", ',"metadata":{"user_id":"me"}', ',"metadata":{"user_id":"me"},"system":[1,2]', ',"other":"]"',
])  # fmt: skip
STARTS = st.sampled_from(["", '"model":"m",', '"metadata":{"user_id":"you"},"model":"m",'])
MIDDLES = st.one_of(
    st.lists(ELEMENTS, max_size=4).map(",".join),
    st.sampled_from([
        '1],"metadata":{"user_id":"forged"},"b":[2', "1,", ",1", "1]", "[1", '"open', "1 , 2", " 1", "\\", '{"a":1', "1]}", "\udcff",
        '1],"model":"n","c":[', "}", "]", '"\\ud800"', "nul", "1}{",
    ]),
)  # fmt: skip


def body(start: str, elements: list[str], end: str) -> bytes:
    return ("{" + start + '"messages":[' + ",".join(elements) + "]" + end + "}").encode(
        "utf-8", "surrogateescape"
    )


def remembered(text: bytes) -> tuple[CompactText, KnownText]:
    found = READER.read(text)
    assert found is not None
    known = growing.remember(memoryview(text), found, DIGEST)
    assert known is not None
    return found, known


@given(STARTS, st.lists(ELEMENTS, min_size=12, max_size=20), ENDS, MIDDLES)
def test_what_is_covered_is_read_the_same_by_the_thorough_reader(
    start: str, elements: list[str], end: str, middle: str
) -> None:
    assume(not ("metadata" in start and "metadata" in end))
    first = body(start, elements, end)
    _, known = remembered(first)
    text = body(start, [*elements[: -growing.OPEN_ELEMENTS], middle], end)
    covered = known.covers(memoryview(text))
    try:
        slow = read_object(text)
        check_utf8(text)
    except JsonError:
        assert not covered
        return
    found = READER.read(text)
    assert not (slow.duplicates and covered)
    if found is None or found.key(b"") != known.key(b""):
        assert not covered or found is None  # blanks between the new elements alone
        return
    assert covered == (middle != "")
    for name in found.shape.watched:
        if covered:
            assert known.span(name, len(text)) == found.span(name, len(text)) == slow.span(name)


@given(st.integers(0, 200), st.binary(min_size=1, max_size=3))
def test_no_other_byte_of_the_ends_may_differ(at: int, other: bytes) -> None:
    first = body('"model":"m",', [str(number) for number in range(20)], ',"metadata":{"user_id":"me"}')
    _, known = remembered(first)
    text = first[:at] + other + first[at + len(other) :]
    if known.covers(memoryview(text)) and text != first:
        slow = read_object(text)
        assert not slow.duplicates
        assert bytes(slow.values["metadata"]) == b'{"user_id":"me"}'
        assert bytes(slow.values["model"]) == b'"m"'


def test_a_conversation_that_goes_on_is_covered() -> None:
    turns = [json.dumps({"role": "user", "content": "x" * 50}, separators=(",", ":")) for _ in range(20)]
    _, known = remembered(body('"model":"m",', turns, ',"metadata":{}'))
    longer = body(
        '"model":"m",', [*turns[:-1], '{"role":"user","content":"changed"}', *turns], ',"metadata":{}'
    )
    assert known.covers(memoryview(longer))
    start, end = known.span("metadata", len(longer))
    assert longer[start:end] == b"{}"


@pytest.mark.parametrize(
    "text",
    [
        b'{"messages":[1,2,3]}',
        b'{"messages":[1, 2, 3, 4, 5, 6, 7, 8, 9]}',
        b'{"model":"m"}',
        b'{"model":[1,2,3,4,5,6,7,8,9]}',
    ],
)
def test_texts_of_which_little_could_be_passed_over_are_not_remembered(text: bytes) -> None:
    found = READER.read(text)
    assert found is not None
    assert growing.remember(memoryview(text), found, DIGEST) is None
