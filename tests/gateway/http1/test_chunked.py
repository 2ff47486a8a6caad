"""Chunked bodies: decoded in any split, refused where their framing is doubtful."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from byline.gateway.http1.chunked import ChunkedDecoder
from byline.gateway.http1.errors import ProtocolError


def decode(*pieces: bytes, limit: int = 1000) -> ChunkedDecoder:
    decoder = ChunkedDecoder(limit)
    for piece in pieces:
        decoder.feed(piece)
    return decoder


def test_a_body_of_two_chunks_is_joined_and_the_rest_is_left() -> None:
    decoder = decode(b"3\r\nabc\r\n4;note=x\r\ndefg\r\n0\r\nTrailer: y\r\n\r\nGET /")
    assert decoder.done
    assert b"".join(decoder.parts) == b"abcdefg"
    assert decoder.rest == b"GET /"


@given(st.lists(st.binary(min_size=1, max_size=40), max_size=8), st.integers(1, 7))
def test_any_split_of_the_bytes_gives_the_same_body(chunks: list[bytes], step: int) -> None:
    wire = b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n\r\nNEXT"
    decoder = ChunkedDecoder(10_000)
    position = 0
    while not decoder.done:
        decoder.feed(wire[position : position + step])
        position += step
    assert b"".join(decoder.parts) == b"".join(chunks)
    assert decoder.rest + wire[position:] == b"NEXT"


@pytest.mark.parametrize(
    "wire",
    [
        b"3\nabc\r\n0\r\n\r\n",
        b"3\r\nabc\n0\r\n\r\n",
        b"3\r\nabcd\r\n0\r\n\r\n",
        b"-3\r\nabc\r\n",
        b"+3\r\nabc\r\n",
        b"0x3\r\nabc\r\n",
        b"3 3\r\nabc\r\n",
        b" 3\r\nabc\r\n",
        b"\r\n",
        b";x\r\n",
        b"g\r\n",
        b"fffffffffffffffff\r\n",
        b"3\r\nabc\r\n0\r\nbad trailer\r\n\r\n",
        b"3\r\nabc\r\n0\r\n folded: x\r\n\r\n",
        b"3;\x00\r\nabc\r\n",
        b"3" + b"0" * 300,
    ],
)
def test_doubtful_framing_is_refused(wire: bytes) -> None:
    with pytest.raises(ProtocolError) as caught:
        decode(wire)
    assert caught.value.status in {400, 413}


def test_a_body_over_the_limit_is_refused_by_its_sizes_alone() -> None:
    with pytest.raises(ProtocolError) as caught:
        decode(b"8\r\n", limit=7)
    assert caught.value.status == 413


def test_endless_trailers_are_refused() -> None:
    with pytest.raises(ProtocolError):
        decode(b"0\r\n", *[b"X-%d: %s\r\n" % (number, b"y" * 200) for number in range(100)])


def test_a_flood_of_tiny_chunks_is_refused() -> None:
    decoder = ChunkedDecoder(64 * 1024 * 1024)
    with pytest.raises(ProtocolError, match="too many small chunks"):
        decoder.feed(b"2\r\nab\r\n" * 5000)
    assert len(decoder.parts) <= 4096


def test_many_chunks_of_an_honest_size_are_taken() -> None:
    decoder = ChunkedDecoder(64 * 1024 * 1024)
    decoder.feed((b"40\r\n" + b"a" * 64 + b"\r\n") * 5000 + b"0\r\n\r\n")
    assert decoder.done
    assert decoder.size == 64 * 5000
