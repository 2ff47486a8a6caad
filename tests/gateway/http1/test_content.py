"""Encoded request bodies: whole ones are decoded, all others refused, none in part."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable

import pytest
import zstandard

from byline.gateway.http1.content import decode_body
from byline.gateway.http1.errors import ProtocolError

BODY = b'{"model":"m","messages":["' + bytes(range(97, 123)) * 400 + b'"]}'
LIMIT = 1_000_000


def in_many_blocks(body: bytes) -> bytes:
    packer = zstandard.ZstdCompressor().compressobj()
    parts = [
        packer.compress(body[start : start + 100]) + packer.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK)
        for start in range(0, len(body), 100)
    ]
    return b"".join(parts) + packer.flush()


ENCODERS = [
    (b"gzip", gzip.compress),
    (b"deflate", zlib.compress),
    (b"zstd", zstandard.compress),
    (b"zstd", in_many_blocks),
]


@pytest.mark.parametrize(("encoding", "encode"), ENCODERS)
def test_a_whole_body_is_decoded(encoding: bytes, encode: Callable[[bytes], bytes]) -> None:
    assert decode_body(encode(BODY), encoding, LIMIT) == BODY


@pytest.mark.parametrize(("encoding", "encode"), ENCODERS)
def test_a_body_that_breaks_off_anywhere_is_refused(
    encoding: bytes, encode: Callable[[bytes], bytes]
) -> None:
    whole = encode(BODY)
    for end in range(0, len(whole), 1 + len(whole) // 200):
        with pytest.raises(ProtocolError, match=r"cut short|does not decode") as refused:
            decode_body(whole[:end], encoding, LIMIT)
        assert refused.value.status == 400


@pytest.mark.parametrize(("encoding", "encode"), ENCODERS)
@pytest.mark.parametrize("more", [b"x", bytes(600), b"second"])
def test_more_after_the_end_is_refused_rather_than_dropped(
    encoding: bytes, encode: Callable[[bytes], bytes], more: bytes
) -> None:
    with pytest.raises(ProtocolError, match="more after its end"):
        decode_body(encode(BODY) + (encode(BODY) if more == b"second" else more), encoding, LIMIT)


@pytest.mark.parametrize(("encoding", "encode"), ENCODERS[:3])
def test_a_body_is_decoded_no_further_than_the_limit(
    encoding: bytes, encode: Callable[[bytes], bytes]
) -> None:
    assert decode_body(encode(bytes(LIMIT)), encoding, LIMIT) == bytes(LIMIT)
    with pytest.raises(ProtocolError, match="larger than 1000000 bytes") as refused:
        decode_body(encode(bytes(LIMIT + 1)), encoding, LIMIT)
    assert refused.value.status == 413
