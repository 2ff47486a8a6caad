"""A head read against the one before is what reading it alone gives."""

from __future__ import annotations

import gc
from collections.abc import Set
from types import FunctionType, ModuleType

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from byline.gateway.http1 import answer_heads, head_template
from byline.gateway.http1.answer_heads import MAX_TEMPLATES, STRANGE_ANSWERS, AnswerHeads
from byline.gateway.http1.head_template import JUDGED_MISFITS, MAX_WIDTHS, HeadTemplate
from byline.gateway.http1.response_head import AnswerFramingError, ResponseHead, read_response_head

LINES = st.sampled_from([
    b"Content-Length: 5", b"Content-Length: 17", b"Content-Length: x", b"Content-Length:5", b"Transfer-Encoding: chunked",
    b"Connection: close", b"Connection: keep-alive", b"Connection: x-a, keep-alive", b"X-A: 1", b"X-A: 2", b"X-A:", b"X-A:  1 ",
    b"x-a: 1", b"request-id: r1", b"request-id: r2", b"Request-Id: r3", b"request-id : r4", b" folded", b"X-A: \x01", b"no colon",
    b"anthropic-ratelimit-unified-status: allowed", b"anthropic-ratelimit-unified-status: rejected", b"Set-Cookie: a=1",
    b"Set-Cookie: a=2", b"x-byline-request-id: theirs", b"Content-Type: text/event-stream", b"Content-Type: application/json",
])  # fmt: skip
HEADS = st.tuples(
    st.sampled_from([b"HTTP/1.1 200 OK", b"HTTP/1.0 200 OK", b"HTTP/1.1 429 No", b"nonsense"]),
    st.lists(LINES, max_size=5),
).map(lambda head: b"\r\n".join([head[0], *head[1]]))


def read(heads: AnswerHeads, block: bytes) -> ResponseHead | str:
    try:
        return heads.read(block)
    except AnswerFramingError as error:
        return str(error)


@given(st.lists(HEADS, min_size=2, max_size=6))
def test_any_sequence_of_heads_is_read_as_each_alone(blocks: list[bytes]) -> None:
    shared = AnswerHeads()
    for block in blocks:
        assert read(shared, block) == read(AnswerHeads(), block)


@given(HEADS, st.lists(st.tuples(st.integers(0, 5), LINES), max_size=3))
def test_lines_changed_one_by_one_are_read_as_anew(block: bytes, changes: list[tuple[int, bytes]]) -> None:
    shared = AnswerHeads()
    read(shared, block)
    lines = block.split(b"\r\n")
    for index, line in changes:
        lines[min(index, len(lines) - 1)] = line
        assert read(shared, b"\r\n".join(lines)) == read(AnswerHeads(), b"\r\n".join(lines))


@pytest.mark.parametrize("line", [b"X-A: 1", b"X-A: 22", b"X-A: a b"])
def test_the_line_that_changed_is_the_line_that_travels(line: bytes) -> None:
    heads = AnswerHeads()
    heads.read(b"HTTP/1.1 200 OK\r\nDate: now\r\nX-A: 1\r\nContent-Length: 5")
    head = heads.read(b"HTTP/1.1 200 OK\r\nDate: then\r\n" + line + b"\r\nContent-Length: 7")
    assert head.travelling == b"Date: then\r\n" + line
    assert head.content_length == 7


def test_a_value_may_change_after_many_answers_alike() -> None:
    shared = AnswerHeads()
    for number in range(3 * STRANGE_ANSWERS):
        date, limit = number // STRANGE_ANSWERS, number // (2 * STRANGE_ANSWERS)
        block = (
            b"HTTP/1.1 200 OK\r\nDate: %d\r\nrequest-id: r%d\r\nanthropic-ratelimit-unified-reset: %d\r\nContent-Length: %d"
            % (date, number, limit, 1 + number % 7)
        )
        assert read(shared, block) == read(AnswerHeads(), block)


def test_answers_of_several_kinds_take_turns() -> None:
    shared = AnswerHeads()
    for number in range(100):
        block = b"HTTP/1.1 %d OK\r\nrequest-id: r%d\r\nContent-Length: 1" % (200 + number % 11, number)
        assert read(shared, block) == read(AnswerHeads(), block)


def test_quota_lines_that_stay_are_the_very_same_object() -> None:
    shared = AnswerHeads()
    block = b"HTTP/1.1 200 OK\r\nrequest-id: %d\r\nanthropic-ratelimit-unified-status: allowed\r\nContent-Length: 1"
    heads = [shared.read(block % number) for number in range(4)]
    assert heads[2].quota is heads[3].quota
    assert heads[3].quota == (b"anthropic-ratelimit-unified-status: allowed",)


@pytest.mark.parametrize(
    ("changing", "made"),
    [
        (b"x-byline-request-id: %d", 2),
        (b"Keep-Alive: timeout=5, max=%d", 2),
        (b"Set-Cookie: session=%d", 1),
        (b"x-kind-%d: a header of its own", MAX_TEMPLATES + 4),
    ],
)
def test_patterns_are_made_for_kinds_of_heads_and_not_for_each(
    changing: bytes, made: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    patterns = list[ResponseHead]()

    class Counted(HeadTemplate):
        def __init__(self, head: ResponseHead, places: Set[int] = frozenset()) -> None:
            patterns.append(head)
            super().__init__(head, places)

    monkeypatch.setattr(answer_heads, "HeadTemplate", Counted)
    monkeypatch.setattr(head_template, "HeadTemplate", Counted)
    shared = AnswerHeads()
    for number in range(MAX_TEMPLATES + 4 * STRANGE_ANSWERS):
        shared.read(b"HTTP/1.1 200 OK\r\n" + changing % number + b"\r\nContent-Length: 1")
    assert len(patterns) == made


def test_of_a_cookie_nothing_is_kept() -> None:
    head = read_response_head(b"HTTP/1.1 200 OK\r\nSet-Cookie: session=secret\r\nContent-Length: 1")
    template = HeadTemplate(head)
    assert template.fill(head.block.replace(b"secret", b"other")) is not None
    seen, waiting = set[int](), list[object]([template])
    while waiting:
        found = waiting.pop()
        assert not (isinstance(found, bytes) and b"secret" in found)
        if id(found) not in seen and not isinstance(found, type | ModuleType | FunctionType):
            seen.add(id(found))
            waiting += gc.get_referents(found)


VALUE = st.one_of(
    st.sampled_from([b"1234567", b"  55   ", b"\t7     ", b"a\r\nb: c", b"a\nb: cd", b"a\rb: cd", b"\x00bcdefg", b"a b\tc\xe9d"]),
    st.binary(min_size=7, max_size=7),
)  # fmt: skip
PATTERN = (
    b"HTTP/1.1 200 OK\r\nDate: %b\r\nrequest-id:  %b\r\nanthropic-ratelimit-unified-reset: %b\r\n"
    b"Keep-Alive: x\r\nX-A: %b\r\nContent-Length: %b"
)


@given(
    st.lists(
        st.tuples(
            VALUE, VALUE, VALUE, VALUE, st.sampled_from([b"0000012", b"12     ", b"1 2    ", b"-000001"])
        )
    )
)
def test_values_as_long_as_the_ones_before_are_read_as_anew(changes: list[tuple[bytes, ...]]) -> None:
    shared = AnswerHeads()
    for values in (
        (b"aaaaaaa",) * 4 + (b"0000001",),
        (b"bbbbbbb",) * 4 + (b"0000002",),
        (b"ccccccc",) * 4 + (b"0000003",),
    ):
        assert read(shared, PATTERN % values) == read(AnswerHeads(), PATTERN % values)
    for values in changes:
        block = PATTERN % values
        assert meaning(read(shared, block)) == meaning(read(AnswerHeads(), block))


def meaning(head: ResponseHead | str) -> object:
    """All that is asked of a head; where blanks in front of a value count to is nobody's business."""
    if isinstance(head, str):
        return head
    return replace(head, layout=None), head.values(), head.is_event_stream


def test_widths_are_kept_for_a_bounded_number_of_lengths() -> None:
    heads = AnswerHeads()
    for digits in range(1, 200):
        head = heads.read(b"HTTP/1.1 200 OK\r\nX-A: %b\r\nContent-Length: 5" % (b"7" * digits))
        assert head.travelling == b"X-A: " + b"7" * digits
    (template,) = heads._templates  # pyright: ignore[reportPrivateUsage]
    assert len(template._widths) == MAX_WIDTHS  # pyright: ignore[reportPrivateUsage]


def with_widths(heads: AnswerHeads) -> int:
    (template,) = heads._templates  # pyright: ignore[reportPrivateUsage]
    return len(template._widths)  # pyright: ignore[reportPrivateUsage]


def of_widths(left: int, number: int) -> bytes:
    """All of one length, however it is shared out."""
    return b"HTTP/1.1 200 OK\r\nX-A: %b\r\nX-B: %b\r\nContent-Length: 5" % (
        b"%d" % number * left,
        b"%d" % number * (9 - left),
    )


def test_where_widths_seldom_fit_they_are_given_up() -> None:
    heads = AnswerHeads()
    for turn in range(3 * JUDGED_MISFITS):
        left = 1 + turn % 8
        assert heads.read(of_widths(left, turn % 10)).travelling.startswith(
            b"X-A: " + b"%d" % (turn % 10) * left + b"\r\n"
        )
    assert with_widths(heads) == 0


def test_where_widths_mostly_fit_they_are_learnt_anew_from_time_to_time() -> None:
    heads = AnswerHeads()
    for turn in range(4 * JUDGED_MISFITS):
        heads.read(of_widths(4 if turn % 4 else 5, turn % 10))
    assert with_widths(heads) == 1


def test_an_id_behind_blanks_is_cut_as_if_they_were_not_there() -> None:
    heads = AnswerHeads()
    for value in (b"a" * 300, b"b" * 300, b"c" * 300, b" " * 100 + b"z" * 200):
        block = b"HTTP/1.1 200 OK\r\nrequest-id: %b\r\nContent-Length: 5" % value
        assert heads.read(block).request_id == read_response_head(block).request_id
