"""A head read against the one before is what reading it alone gives."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from byline.gateway.http1.answer_heads import AnswerHeads
from byline.gateway.http1.response_head import AnswerFramingError, ResponseHead

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
    assert head.end_to_end_lines == (b"Date: then", line)
    assert head.content_length == 7
