"""The chunked transfer coding of request bodies, decoded strictly (RFC 9112 section 7.1)."""

from __future__ import annotations

import re

from byline.gateway.http1.errors import ProtocolError

MAX_SIZE_LINE = 256
MAX_TRAILER_BYTES = 8192
MAX_SMALL_CHUNKS = 4096
MIN_MEAN_CHUNK_BYTES = 64
"""Held to after so many chunks: each costs as much as a kilobyte of body, in time and in memory."""
# Sizes are bare hex, or carry an extension that we check for harmless characters and ignore.
_SIZE = re.compile(rb"([0-9A-Fa-f]{1,12})(?:[ \t]*;[\t\x20-\x7e]*)?")
_TRAILER = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+:[\t\x20-\x7e\x80-\xff]*")


class ChunkedDecoder:
    """Feed bytes; `body` grows until `done`. What follows the message stands in `rest`."""

    def __init__(self, max_body_bytes: int) -> None:
        self.parts: list[bytes] = []
        self.size = 0
        self.done = False
        self.rest: bytes = b""
        self._limit = max_body_bytes
        self._pending: bytes = b""
        self._left = 0
        """Bytes of the current chunk still to come; -1: its CRLF; -2: the trailers."""
        self._trailer_bytes = 0
        self._chunks = 0

    def feed(self, data: bytes) -> None:
        """Raises ProtocolError(400 or 413)."""
        data = self._pending + data
        position = 0
        while not self.done and position < len(data):
            step = self._step(data, position)
            if step == position:
                break
            position = step
        self._pending = b"" if self.done else data[position:]
        self.rest = data[position:] if self.done else b""

    def _step(self, data: bytes, position: int) -> int:
        if self._left > 0:
            return self._take_data(data, position)
        if self._left == -1:
            return self._take_crlf(data, position)
        return self._take_line(data, position)

    def _take_data(self, data: bytes, position: int) -> int:
        part = data[position : position + self._left]
        self.parts.append(part)
        self._left -= len(part)
        if self._left == 0:
            self._left = -1
        return position + len(part)

    def _take_crlf(self, data: bytes, position: int) -> int:
        if data[position : position + 2] == b"\r\n":
            self._left = 0
            return position + 2
        if data[position : position + 2] == b"\r":
            return position
        raise ProtocolError(400, "a chunk is longer than its size says")

    def _take_line(self, data: bytes, position: int) -> int:
        limit = MAX_TRAILER_BYTES if self._left == -2 else MAX_SIZE_LINE
        end = data.find(b"\n", position, position + limit)
        if end < 0:
            if len(data) - position >= limit:
                raise ProtocolError(400, "a chunk's size line or trailer is too long")
            return position
        if data[end - 1 : end] != b"\r" or end == position:
            raise ProtocolError(400, "bare line feed in a chunked body")
        self._read_line(data[position : end - 1])
        return end + 1

    def _read_line(self, line: bytes) -> None:
        if self._left == -2:
            self._read_trailer(line)
            return
        match = _SIZE.fullmatch(line)
        if match is None:
            raise ProtocolError(400, "malformed chunk size")
        self._left = int(match[1], 16) or -2
        self.size += max(self._left, 0)
        self._chunks += self._left > 0
        if self._chunks > MAX_SMALL_CHUNKS and self.size < self._chunks * MIN_MEAN_CHUNK_BYTES:
            raise ProtocolError(400, "the request body comes in too many small chunks")
        if self.size > self._limit:
            raise ProtocolError(413, f"the request body is larger than {self._limit} bytes")

    def _read_trailer(self, line: bytes) -> None:
        """Trailers are checked and dropped: none of them means anything to a model API."""
        if not line:
            self.done = True
            return
        self._trailer_bytes += len(line)
        if self._trailer_bytes > MAX_TRAILER_BYTES or _TRAILER.fullmatch(line) is None:
            raise ProtocolError(400, "malformed trailer")
