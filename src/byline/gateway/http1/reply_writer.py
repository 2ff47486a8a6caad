"""Frames an answer for one client: our own framing around the provider's unchanged body."""

from __future__ import annotations

_BODYLESS = frozenset({204, 304})


class ReplyWriter:
    """Collects pieces; whoever owns the socket takes them."""

    started = False
    ends_with_close = False
    """The client can tell the end of the body only by the end of the connection."""
    to_http10 = False
    to_head_request = False
    _chunked = False

    def __init__(self) -> None:
        self.pieces: list[bytes] = []

    def begin(
        self, status: int, reason: bytes, lines: list[bytes], length: int | None, *, close: bool
    ) -> None:
        """`lines` are taken over and added to."""
        self.started = True
        if length is not None:
            if status not in _BODYLESS:
                lines.append(b"content-length: %d" % length)
        elif not self.to_http10:
            self._chunked = True
            lines.append(b"transfer-encoding: chunked")
        else:
            self.ends_with_close = True
        if close or self.ends_with_close:
            lines.append(b"connection: close")
        elif self.to_http10:
            lines.append(b"connection: keep-alive")
        self.pieces.append(b"HTTP/1.1 %d %b\r\n%b\r\n\r\n" % (status, reason, b"\r\n".join(lines)))

    def write(self, data: bytes) -> None:
        if not data or self.to_head_request:
            return
        if self._chunked:
            self.pieces += (b"%x\r\n" % len(data), data, b"\r\n")
        else:
            self.pieces.append(data)

    def finish(self) -> None:
        if self._chunked and not self.to_head_request:
            self.pieces.append(b"0\r\n\r\n")

    def take(self) -> bytes:
        pieces, self.pieces = self.pieces, []
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)
