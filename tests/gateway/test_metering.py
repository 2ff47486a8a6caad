"""Compressed answers are metered on a copy that stays bounded, whatever the provider sends."""

from __future__ import annotations

import tracemalloc

import zstandard

from byline.apis.api import Buffer, Reading
from byline.gateway.metering import MAX_DECODED_BYTES, DecodingMeter


class CountingMeter:
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
    tracemalloc.start()
    try:
        DecodingMeter(meter, b"zstd").feed(bomb)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert meter.fed == MAX_DECODED_BYTES
    assert peak < 3.5 * MAX_DECODED_BYTES


def test_a_zstd_answer_in_any_split_is_decoded_whole() -> None:
    packed = zstandard.ZstdCompressor().compress(bytes(range(256)) * 4000)
    meter = CountingMeter()
    decoding = DecodingMeter(meter, b"zstd")
    for start in range(0, len(packed), 7):
        decoding.feed(packed[start : start + 7])
    assert meter.fed == 256 * 4000
