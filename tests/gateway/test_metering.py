"""Compressed answers are metered on a copy that stays bounded, whatever the provider sends."""

from __future__ import annotations

import gzip
import tracemalloc
import zlib
from collections.abc import Callable

import pytest
import zstandard
from tests.gateway.conftest import Rig, receive_answer, request
from tests.gateway.upstream_script import OK, answer

from byline.apis.api import Buffer, Reading
from byline.gateway.metering import MAX_DECODED_BYTES, DecodingMeter


class CountingMeter:
    dropped = 0

    def __init__(self) -> None:
        self.fed = 0

    def feed(self, data: Buffer) -> None:
        self.fed += len(data)

    def finish(self) -> None: ...

    def reading(self) -> Reading:
        return Reading()


def test_a_zstd_bomb_is_decoded_no_further_than_the_limit() -> None:
    bomb = zstandard.ZstdCompressor().compress(bytes(4 * MAX_DECODED_BYTES))
    meter = CountingMeter()
    decoding = DecodingMeter(meter, b"zstd")
    tracemalloc.start()
    try:
        decoding.feed(bomb)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert meter.fed == MAX_DECODED_BYTES
    assert decoding.dropped == 1
    assert peak < 3.5 * MAX_DECODED_BYTES


def test_a_zstd_answer_in_any_split_is_decoded_whole() -> None:
    packed = zstandard.ZstdCompressor().compress(bytes(range(256)) * 4000)
    meter = CountingMeter()
    decoding = DecodingMeter(meter, b"zstd")
    for start in range(0, len(packed), 7):
        decoding.feed(packed[start : start + 7])
    assert meter.fed == 256 * 4000


MESSAGE = (
    b'{"id":"msg","model":"m","content":"'
    + b"text " * 2000
    + b'","usage":{"input_tokens":3,"output_tokens":2}}'
)
CHUNKS = (
    b'data: {"id":"c","choices":[{"delta":{},"finish_reason":"stop"}]}\n\n'
    b'data: {"id":"c","choices":[],"usage":{"prompt_tokens":3,"completion_tokens":2}}\n\n'
)


def stream_of_zstd(text: bytes) -> bytes:
    """Flushed in between, as a server that streams does: a cut frame gives up what stands before."""
    packer = zstandard.ZstdCompressor().compressobj()
    return packer.compress(text) + packer.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK) + packer.flush()


def stream_of_gzip(text: bytes) -> bytes:
    packer = zlib.compressobj(wbits=31)
    return packer.compress(text) + packer.flush(zlib.Z_SYNC_FLUSH) + packer.flush()


ENCODERS = [
    ("zstd", zstandard.compress),
    ("zstd", stream_of_zstd),
    ("gzip", gzip.compress),
    ("gzip", stream_of_gzip),
    ("deflate", zlib.compress),
]


@pytest.mark.parametrize(("encoding", "encode"), ENCODERS)
@pytest.mark.parametrize("part", [slice(None), slice(-1), slice(-5), slice(6, None)])
def test_an_encoded_answer_that_breaks_off_is_relayed_and_its_usage_marked_incomplete(
    rig: Rig, encoding: str, encode: Callable[[bytes], bytes], part: slice
) -> None:
    is_whole = part == slice(None)
    body = encode(MESSAGE)[part]
    rig.upstream.scripts = [answer(body, head=OK + f"Content-Encoding: {encoding}\r\n".encode())]
    with rig.connect() as client:
        client.sendall(request(key=rig.key))
        assert receive_answer(client)[1] == body
    (row,) = rig.rows()
    assert (row["outcome"], row["usage_complete"]) == ("ok", is_whole)
    assert row.get("input_tokens") == (3 if is_whole else None)


@pytest.mark.parametrize(("encoding", "encode"), ENCODERS)
@pytest.mark.parametrize("cut", [0, 1])
def test_the_end_of_a_broken_encoding_is_no_end_of_a_stream(
    rig: Rig, encoding: str, encode: Callable[[bytes], bytes], cut: int
) -> None:
    """Without [DONE] or a usage, only the end of the answer says that a chat stream is complete."""
    opening = CHUNKS.partition(b"\n\n")[0] + b"\n\n"
    whole = encode(opening)
    body = whole[: len(whole) - cut]
    head = OK + f"Content-Type: text/event-stream\r\nContent-Encoding: {encoding}\r\n".encode()
    rig.upstream.scripts = [answer(body, head=head)]
    with rig.connect() as client:
        client.sendall(request("/v1/chat/completions", b'{"model":"m","stream":true}', key=rig.key))
        assert receive_answer(client)[1] == body
    (row,) = rig.rows()
    assert (row["outcome"], row["usage_complete"]) == ("ok", cut == 0)


@pytest.mark.parametrize(("encoding", "encode"), ENCODERS[:4])
def test_an_answer_may_be_encoded_in_several_frames(
    rig: Rig, encoding: str, encode: Callable[[bytes], bytes]
) -> None:
    body = b"".join(encode(MESSAGE[start : start + 1000]) for start in range(0, len(MESSAGE), 1000))
    rig.upstream.scripts = [answer(body, head=OK + f"Content-Encoding: {encoding}\r\n".encode())]
    with rig.connect() as client:
        client.sendall(request(key=rig.key))
        assert receive_answer(client)[1] == body
    (row,) = rig.rows()
    assert (row["input_tokens"], row["usage_complete"]) == (3, True)


@pytest.mark.parametrize(("encoding", "encode"), ENCODERS)
def test_a_request_that_breaks_off_is_not_sent_in_part_where_nothing_reads_it(
    rig: Rig, encoding: str, encode: Callable[[bytes], bytes]
) -> None:
    with rig.connect() as client:
        body = encode(MESSAGE)[:-1]
        extra = f"Content-Encoding: {encoding}\r\n"
        client.sendall(request("/v1/messages/count_tokens", body, key=rig.key, extra=extra))
        assert receive_answer(client)[0].startswith(b"HTTP/1.1 400 ")
    assert rig.upstream.seen == []


@pytest.mark.parametrize("encoding", [b"zstd", b"gzip", b"deflate", b"br", b"unheard-of"])
@pytest.mark.parametrize(
    "body", [b"", b"\x00", b"not that", b"\x28\xb5\x2f\xfd", b"\x1f\x8b\x08", bytes(1000)]
)
def test_whatever_is_said_to_be_encoded_never_raises(encoding: bytes, body: bytes) -> None:
    meter = DecodingMeter(CountingMeter(), encoding)
    for start in range(len(body)):
        meter.feed(body[start : start + 1])
    meter.finish()
    assert meter.reading() == Reading()
