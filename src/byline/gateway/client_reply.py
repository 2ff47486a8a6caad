"""The answer to one client request, framed for the HTTP version that asked."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from byline.gateway.http1.reply_writer import ReplyWriter
from byline.gateway.http1.request_head import RequestHead

JOINED_BYTES = 16 * 1024
"""Up to this size one copy is cheaper than handing over pieces."""
MAX_DISCARDED_BODY_BYTES = 1024 * 1024
_OK = b"HTTP/1.1 200 OK"


class ClientReply(ReplyWriter):
    """One per request. `answered` is called once, after `end` or `cut`."""

    close_after = False
    """And then the connection ends."""
    body_is_read = False

    def __init__(
        self,
        transport: asyncio.Transport,
        head: RequestHead | None,
        peer_address: str,
        answered: Callable[[], None],
    ) -> None:
        """`head` None: nothing that came could be read as a request."""
        super().__init__()
        if head is not None and (head.line.minor == 0 or head.line.method == b"HEAD"):
            self.to_http10, self.to_head_request = head.line.minor == 0, head.line.method == b"HEAD"
        self._head = head
        self._transport: asyncio.Transport | None = transport
        self._answered = answered
        self.peer_address = peer_address

    def start(self, status: int, reason: bytes, lines: list[bytes], length: int | None) -> None:
        if not self.body_is_read and self._head is not None and _is_long_to_skip(self._head):
            self.close_after = True
        self.begin(status, reason, lines, length, close=self.close_after)
        self.close_after = self.close_after or self.ends_with_close

    def answer(self, status: int, reason: bytes, lines: list[bytes], body: bytes) -> None:
        """`start`, `write` and `end` at once; with one write where nothing about it is special."""
        if self.to_http10 or self.to_head_request or self.close_after or not self.body_is_read:
            self.start(status, reason, lines, len(body))
            self.write(body)
            self.end()
            return
        self.started = True
        if self._transport is not None:
            opening = _OK if status == 200 and reason == b"OK" else b"HTTP/1.1 %d %b" % (status, reason)
            length_line = b"content-length: %d\r\n" % len(body)
            if len(body) <= JOINED_BYTES:
                self._transport.write(b"\r\n".join((opening, *lines, length_line, body)))
            else:
                self._transport.writelines([b"\r\n".join((opening, *lines, length_line, b"")), body])
            answered = self._answered
            answered()

    def chunk_sink(self) -> Callable[[bytes], None] | None:
        is_chunked = self._chunked and not self.to_head_request
        return self._transport.write if is_chunked and self._transport is not None else None

    def flush(self) -> None:
        if self._transport is not None and self.pieces:
            self._transport.write(self.take())

    def end(self) -> None:
        self.finish()
        if self._transport is not None:
            if self.pieces:
                self._transport.write(self.take())
            self._answered()

    def cut(self) -> None:
        """No last chunk and fewer bytes than promised: the client sees that something is missing."""
        self.flush()
        if self._transport is not None:
            self.close_after = True
            self._answered()

    def detach(self) -> None:
        """The connection is gone."""
        self._transport = None


def _is_long_to_skip(head: RequestHead) -> bool:
    """Answered before such a body has come, the connection ends rather than read it all."""
    return head.chunked or head.expects_continue or head.content_length > MAX_DISCARDED_BODY_BYTES
