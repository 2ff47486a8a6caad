"""Frames an answer for one client: our own framing around the provider's unchanged body."""

from __future__ import annotations

from collections.abc import Sequence

_BODYLESS = frozenset({204, 304})


class ReplyWriter:
    """Collects pieces; whoever owns the socket takes them."""

    def __init__(self, *, minor: int, to_head_request: bool) -> None:
        self._minor = minor
        self._to_head_request = to_head_request
        self._chunked = False
        self.pieces: list[bytes] = []
        self.started = False
        self.ends_with_close = False
        """The client can tell the end of the body only by the end of the connection."""

    def start(
        self, status: int, reason: bytes, lines: Sequence[bytes], length: int | None, *, close: bool
    ) -> None:
        self.started = True
        head = [b"HTTP/1.1 %d %s" % (status, reason), *lines]
        if status not in _BODYLESS:
            head += self._framing(length)
        if close or self.ends_with_close:
            head.append(b"connection: close")
        elif self._minor == 0:
            head.append(b"connection: keep-alive")
        self.pieces.append(b"\r\n".join(head) + b"\r\n\r\n")

    def _framing(self, length: int | None) -> list[bytes]:
        if length is not None:
            return [b"content-length: %d" % length]
        if self._minor == 1:
            self._chunked = True
            return [b"transfer-encoding: chunked"]
        self.ends_with_close = True
        return []

    def write(self, data: bytes) -> None:
        if not data or self._to_head_request:
            return
        if self._chunked:
            self.pieces += (b"%x\r\n" % len(data), data, b"\r\n")
        else:
            self.pieces.append(data)

    def end(self) -> None:
        if self._chunked and not self._to_head_request:
            self.pieces.append(b"0\r\n\r\n")

    def take(self) -> bytes:
        pieces, self.pieces = self.pieces, []
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)
