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
    """Feeds a Meter from a compressed answer. What can't be decoded, or breaks off, leaves the reading
    incomplete."""

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
        """HTTP says that all has come; the encoding may say otherwise."""
        if self._decoder is not None and self._decoder.between_frames:
            self._meter.finish()

    @property
    def dropped(self) -> int:
        return self._meter.dropped + (self._left <= 0)

    def reading(self) -> Reading:
        return self._meter.reading()


class _Zstd:
    """One frame or several, as RFC 8878 allows."""

    def __init__(self) -> None:
        import zstandard

        self._decompressor = zstandard.ZstdDecompressor()
        self._frame = self._decompressor.decompressobj()
        self._error = zstandard.ZstdError
        self.between_frames = True

    def decompress(self, data: bytes, max_length: int) -> bytes:
        # The decoder knows no limit of its own, and four bytes may stand for 128 KB.
        plain = bytearray()
        try:
            for start in range(0, len(data), _ZSTD_SLICE_BYTES):
                self._take(data[start : start + _ZSTD_SLICE_BYTES], plain)
                if len(plain) >= max_length:
                    break
        except self._error as error:
            raise ValueError(str(error)) from None
        return bytes(plain[:max_length])

    def _take(self, data: bytes, plain: bytearray) -> None:
        while data:
            if self._frame.eof:
                self._frame = self._decompressor.decompressobj()
            plain += self._frame.decompress(data)
            data = self._frame.unused_data
            self.between_frames = self._frame.eof


class _Zlib:
    """One member or several, as RFC 1952 allows."""

    def __init__(self, window_bits: int) -> None:
        self._window_bits = window_bits
        self._member = zlib.decompressobj(window_bits)
        self.between_frames = True

    def decompress(self, data: bytes, max_length: int) -> bytes:
        plain = bytearray()
        while data and len(plain) < max_length:
            if self._member.eof:
                self._member = zlib.decompressobj(self._window_bits)
            plain += self._member.decompress(data, max_length - len(plain))
            data = self._member.unused_data
            self.between_frames = self._member.eof
        return bytes(plain)


def _open_decoder(encoding: bytes) -> _Zlib | _Zstd | None:
    match encoding:
        case b"gzip" | b"x-gzip" | b"deflate":
            return _Zlib(zlib.MAX_WBITS | 32)
        case b"zstd":
            return _Zstd()
        case _:
            return None
