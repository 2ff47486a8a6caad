"""Chunked transfer coding, read from pieces cut anywhere. For a stream, where http.client would block."""

from __future__ import annotations

from typing import Final

from byline.flags.sources.source import SourceError

_MAX_LINE_BYTES: Final = 4096


class ChunkReader:
    def __init__(self) -> None:
        self.ended = False
        self._line = b""
        self._left = 0
        """Bytes of the chunk under way still to come, its closing line end included."""

    def feed(self, data: bytes) -> bytes:
        """Raises SourceError for what is no chunk."""
        plain: list[bytes] = []
        while data and not self.ended:
            if self._left == 0:
                data = self._read_size(data)
            else:
                taken = data[: self._left]
                plain.append(taken[: max(0, self._left - 2)])
                self._left -= len(taken)
                data = data[len(taken) :]
        return b"".join(plain)

    def _read_size(self, data: bytes) -> bytes:
        line, end, rest = (self._line + data).partition(b"\r\n")
        if not end:
            if len(line) > _MAX_LINE_BYTES:
                raise SourceError("the stream's framing is broken")
            self._line = line
            return b""
        self._line = b""
        try:
            size = int(line.split(b";")[0], 16)
        except ValueError:
            raise SourceError("the stream's framing is broken") from None
        self.ended = size == 0
        self._left = size + 2
        return rest
