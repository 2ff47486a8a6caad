"""Chooses the Meter of an answer; a compressed answer is metered on a bounded decoded copy."""

from __future__ import annotations

import zlib

from byline.apis.api import Buffer, Meter, Reading
from byline.gateway.http1.response_head import ResponseHead
from byline.gateway.routes import Route

MAX_DECODED_BYTES = 64 * 1024 * 1024
_ZSTD_SLICE_BYTES = 256


def open_meter(route: Route, head: ResponseHead) -> Meter:
    is_stream = head.status < 400 and head.is_event_stream
    meter = route.api.meter(streaming=is_stream)
    encoding = (head.value(b"content-encoding") or b"identity").lower()
    return meter if encoding == b"identity" else DecodingMeter(meter, encoding)


class DecodingMeter:
    """Feeds a Meter from a compressed answer. What can't be decoded leaves the reading incomplete."""

    def __init__(self, meter: Meter, encoding: bytes) -> None:
        self._meter = meter
        self._left = MAX_DECODED_BYTES
        self._decoder = _open_decoder(encoding)

    def feed(self, data: Buffer) -> None:
        if self._decoder is None:
            return
        try:
            plain = self._decoder.decompress(bytes(data), self._left)
        except (zlib.error, ValueError):
            self._decoder = None
            return
        self._left -= len(plain)
        self._meter.feed(plain)
        if self._left <= 0:
            self._decoder = None

    def finish(self) -> None:
        if self._decoder is not None:
            self._meter.finish()

    def reading(self) -> Reading:
        return self._meter.reading()


class _Zstd:
    def __init__(self) -> None:
        import zstandard

        self._decoder = zstandard.ZstdDecompressor().decompressobj()
        self._error = zstandard.ZstdError

    def decompress(self, data: bytes, max_length: int) -> bytes:
        # The decoder knows no limit of its own, and four bytes may stand for 128 KB.
        plain = bytearray()
        try:
            for start in range(0, len(data), _ZSTD_SLICE_BYTES):
                plain += self._decoder.decompress(data[start : start + _ZSTD_SLICE_BYTES])
                if len(plain) >= max_length:
                    break
        except self._error as error:
            raise ValueError(str(error)) from None
        return bytes(plain[:max_length])


class _Zlib:
    def __init__(self, window_bits: int) -> None:
        self._decoder = zlib.decompressobj(window_bits)

    def decompress(self, data: bytes, max_length: int) -> bytes:
        return self._decoder.decompress(self._decoder.unconsumed_tail + data, max_length)


def _open_decoder(encoding: bytes) -> _Zlib | _Zstd | None:
    match encoding:
        case b"gzip" | b"x-gzip" | b"deflate":
            return _Zlib(zlib.MAX_WBITS | 32)
        case b"zstd":
            return _Zstd()
        case _:
            return None
