"""What an attempt hears of a chunked answer, however the reads cut it."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Generator
from itertools import pairwise
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from byline.gateway.http1.response_head import ResponseHead
from byline.gateway.upstream.connection import Lost, Timeouts, UpstreamConnection

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
LAST = b"0\r\n\r\n"


class Wire:
    """Stands for the transport: takes everything at once."""

    def __init__(self, end: socket.socket) -> None:
        self._end = end
        self.closed = False

    def get_extra_info(self, name: str) -> Any:
        return self._end if name == "socket" else None

    def write(self, data: bytes) -> None: ...
    def get_write_buffer_size(self) -> int:
        return 0

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True

    abort = close


class Heard:
    def __init__(self) -> None:
        self.body = b""
        self.lone = 0
        self.ended = False
        self.lost: Lost | None = None

    def on_answer_head(self, head: ResponseHead) -> None:
        assert head.chunked

    def on_answer_body(self, data: bytes) -> None:
        assert not self.ended
        self.body += data

    def on_answer_chunk(self, framed: bytes, data: bytes) -> None:
        assert framed == b"%x\r\n%b\r\n" % (len(data), data)
        self.lone += 1
        self.on_answer_body(data)

    def on_answer_end(self) -> None:
        self.ended = True

    def on_answer_lost(self, why: Lost) -> None:
        self.lost = why

    def on_whole_answer(self, head: ResponseHead, body: bytes) -> None:
        raise AssertionError("no chunked answer comes whole")

    def on_read_done(self) -> None: ...


@pytest.fixture(scope="module")
def ends() -> Generator[tuple[socket.socket, socket.socket]]:
    pair = socket.socketpair()
    yield pair
    for end in pair:
        end.close()


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def open_connection(
    end: socket.socket, clock: Clock, released: list[UpstreamConnection]
) -> UpstreamConnection:
    connection = UpstreamConnection(released.append, Timeouts(stall_s=10.0), clock)
    connection.connection_made(cast("asyncio.Transport", Wire(end)))
    return connection


def hear(end: socket.socket, reads: list[bytes]) -> tuple[Heard, bool]:
    """What was heard, and whether the connection may be used again."""
    heard, released, clock = Heard(), list[UpstreamConnection](), Clock()
    connection = open_connection(end, clock, released)
    connection.send(b"GET / HTTP/1.1\r\n\r\n", (), heard, to_head_request=False, now=clock())
    for read in reads:
        if heard.lost is None:
            connection.data_received(read)
    return heard, bool(released) and connection.is_idle()


def chunk(text: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(text), text)


def cut(data: bytes, at: list[int]) -> list[bytes]:
    marks = [0, *sorted(min(mark, len(data)) for mark in at), len(data)]
    return [data[start:end] for start, end in pairwise(marks) if end > start]


TEXTS = st.lists(
    st.sampled_from(
        [b"a", b"data: x\n\n", b"\r\n", LAST, b"5\r\nhello\r\n", b"-", b"\0" * 5, b"x" * 300, b"y" * 20_000]
    ),
    max_size=5,
)


@given(TEXTS, st.lists(st.integers(0, 400), max_size=6))
def test_chunks_are_heard_the_same_however_they_are_cut(
    ends: tuple[socket.socket, socket.socket], texts: list[bytes], at: list[int]
) -> None:
    data = CHUNKED + b"".join(map(chunk, texts)) + LAST
    for reads in ([data], cut(data, at), [CHUNKED, *map(chunk, texts), LAST]):
        heard, reusable = hear(ends[0], reads)
        assert (heard.body, heard.ended, heard.lost, reusable) == (b"".join(texts), True, None, True)


@given(st.integers(1, 70_000))
def test_a_lone_chunk_is_told_by_its_length(ends: tuple[socket.socket, socket.socket], size: int) -> None:
    data = chunk(b"x" * size)
    for reads, lone in (([data], 1), ([data[:-1], b"\n"], 0), ([data + data], 0), ([data, data], 2)):
        heard, reusable = hear(ends[0], [CHUNKED, *reads, LAST])
        assert heard.body == b"x" * size * (len(b"".join(reads)) // len(data))
        assert (heard.lone, heard.ended, reusable) == (lone, True, True)


def test_a_chunk_in_another_spelling_is_no_lone_chunk(ends: tuple[socket.socket, socket.socket]) -> None:
    reads = [b"3\r\none\r\n", b"03\r\ntwo\r\n", b"3;x=y\r\nsix\r\n", b"A\r\n0123456789\r\n", b"3\r\nten\r\n"]
    heard, reusable = hear(ends[0], [CHUNKED, *reads, LAST])
    assert (heard.body, heard.lone, heard.ended, reusable) == (b"onetwosix0123456789ten", 2, True, True)


@pytest.mark.parametrize("length", [1, 2, 3, 4, 5, 21, 262, 4103, 65_544])
@pytest.mark.parametrize("first", [b"-", b"\0", b"x", b"0"])
def test_what_only_has_the_length_of_a_chunk_is_none(
    ends: tuple[socket.socket, socket.socket], first: bytes, length: int
) -> None:
    bad = (first + b"x" * length)[: length - 2] + b"\r\n"
    heard, reusable = hear(ends[0], [CHUNKED, chunk(b"one"), bad, chunk(b"two"), LAST])
    assert heard.lost is Lost.MALFORMED or not heard.ended
    assert not reusable
    assert heard.body == b"one"


def test_a_stream_of_lone_chunks_stalls_only_once_they_stop_coming(
    ends: tuple[socket.socket, socket.socket],
) -> None:
    heard, clock = Heard(), Clock()
    connection = open_connection(ends[0], clock, [])
    connection.send(b"GET / HTTP/1.1\r\n\r\n", (), heard, to_head_request=False, now=clock())
    connection.data_received(CHUNKED)
    for clock.now in (6.0, 12.0, 18.0):
        connection.data_received(chunk(b"on and on"))
        connection.check_deadline(clock.now + 5.0)
    assert heard.lost is None
    connection.check_deadline(28.0)
    assert heard.lost is Lost.STALLED
