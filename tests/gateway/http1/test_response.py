"""An answer is the same however its bytes are cut into reads."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from byline.gateway.http1.response import ResponseReader
from byline.gateway.http1.response_head import AnswerFramingError, ResponseHead

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


class Heard:
    """Listens, and keeps what it heard."""

    def __init__(self) -> None:
        self.body = b""
        self.pieces: list[bytes] = []
        self.ended = False
        self.on_answer_body: Callable[[bytes], None] = self._take

    def _take(self, data: bytes) -> None:
        assert not self.ended
        self.body += data
        self.pieces.append(data)

    def on_answer_head(self, head: ResponseHead) -> None:
        assert head.status == 200

    def on_whole_answer(self, head: ResponseHead, body: bytes) -> None:
        self._take(body)
        self.ended = True

    def on_answer_end(self) -> None:
        self.ended = True


def hear(reads: list[bytes]) -> tuple[Heard, bool, str]:
    """What was heard, whether nothing more came than belongs to it, and what was wrong with it."""
    heard = Heard()
    reader = ResponseReader(heard)
    reader.expect()
    try:
        for read in reads:
            reader.feed(read)
    except AnswerFramingError as error:
        return heard, False, str(error)
    return heard, reader.clean, ""


def cut(data: bytes, at: list[int]) -> list[bytes]:
    marks = [0, *sorted(min(mark, len(data)) for mark in at), len(data)]
    return [data[start:end] for start, end in pairwise(marks) if end > start]


def chunk(text: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(text), text)


TEXTS = st.lists(
    st.sampled_from([b"a", b"data: x\n\n", b"\r\n", b"0\r\n\r\n", b"5\r\nhello\r\n", b"x" * 300]), max_size=5
)
LAST = st.sampled_from([b"0\r\n\r\n", b"0\r\nx-a: 1\r\n\r\n", b"0;e\r\n\r\n"])


@given(TEXTS, LAST, st.lists(st.integers(0, 400), max_size=6))
def test_chunks_say_the_same_however_they_are_cut(texts: list[bytes], last: bytes, at: list[int]) -> None:
    data = CHUNKED + b"".join(map(chunk, texts)) + last
    for reads in (
        [data],
        cut(data, at),
        [CHUNKED, *map(chunk, texts), last],
        [bytes([byte]) for byte in data],
    ):
        heard, clean, problem = hear(reads)
        assert (heard.body, heard.ended, clean, problem) == (b"".join(texts), True, True, "")


def test_a_chunk_a_read_is_handed_on_a_chunk_a_read() -> None:
    heard, _, _ = hear([CHUNKED + chunk(b"one"), chunk(b"two"), chunk(b"three"), b"0\r\n\r\n"])
    assert heard.pieces == [b"one", b"two", b"three"]
    assert heard.ended


@pytest.mark.parametrize(
    "bad",
    [
        b"3\r\nabcd\r\n", b"5\r\nabc\r\n", b"3\nabc\n", b"-3\r\nabc\r\n", b"+3\r\nabc\r\n", b"0x3\r\nabc\r\n", b" 3\r\nabc\r\n",
        b"3_0\r\nabc\r\n", b"g\r\nabc\r\n", b"3\r\nabc\n\n", b"3\r\nabcxx",
    ],
)  # fmt: skip
def test_malformed_chunks_are_no_part_of_an_answer(bad: bytes) -> None:
    for reads in (
        [CHUNKED, chunk(b"one"), bad, chunk(b"two"), b"0\r\n\r\n"],
        [CHUNKED + chunk(b"one") + bad + b"0\r\n\r\n"],
    ):
        heard, _, problem = hear(reads)
        assert problem or not heard.ended


@pytest.mark.parametrize("total", [3, 5, 21, 262, 4103, 65_544])
@pytest.mark.parametrize("begin", [b"-", b"\0"])
def test_no_read_of_a_length_that_no_chunk_has_passes_for_one(total: int, begin: bytes) -> None:
    bad = begin + b"x" * (total - 2 - len(begin)) + b"\r\n"
    heard, _, problem = hear([CHUNKED + chunk(b"one"), bad, b"0\r\n\r\n"])
    assert (heard.body, problem) == (b"one", "malformed chunks")


@pytest.mark.parametrize(
    "framing", [b"Content-Length: 4\r\n\r\nelse", b"Transfer-Encoding: chunked\r\n\r\n4\r\nelse\r\n"]
)
def test_another_answer_in_the_same_read_is_no_part_of_a_chunked_one(framing: bytes) -> None:
    heard, clean, _ = hear([CHUNKED, chunk(b"one") + b"0\r\n\r\nHTTP/1.1 200 OK\r\n" + framing])
    assert (heard.body, heard.ended, clean) == (b"one", True, False)


@pytest.mark.parametrize(("after", "clean"), [(b"", True), (b"HTTP/1.1 200 OK\r\n", False), (b"x", False)])
def test_bytes_beyond_a_sized_answer_leave_doubt(after: bytes, clean: bool) -> None:
    data = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbody" + after
    for reads in (
        [data],
        [data[:10], data[10:]],
        [data[: len(data) - len(after)], after] if after else [data],
    ):
        heard, is_clean, problem = hear(reads)
        assert (heard.body, heard.ended, is_clean, problem) == (b"body", True, clean, "")
