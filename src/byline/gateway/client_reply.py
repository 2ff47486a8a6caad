"""The answer to one client request, framed for the HTTP version that asked."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from byline.gateway.http1.reply_writer import ReplyWriter
from byline.gateway.http1.request_head import RequestHead

MAX_DISCARDED_BODY_BYTES = 1024 * 1024


class ClientReply(ReplyWriter):
    """One per request. `answered` is called once, after `end` or `cut`."""

    def __init__(
        self,
        transport: asyncio.Transport,
        head: RequestHead | None,
        *,
        peer_address: str,
        close_after: bool,
        answered: Callable[[], None],
    ) -> None:
        """`head` None: nothing that came could be read as a request."""
        self._transport: asyncio.Transport | None = transport
        self._answered = answered
        minor, method = (head.line.minor, head.line.method) if head else (1, b"")
        super().__init__(minor=minor, to_head_request=method == b"HEAD")
        self._long_body = head is not None and _is_long_to_skip(head)
        self.peer_address = peer_address
        self.close_after = close_after
        """The connection ends with this answer."""
        self.body_is_read = False

    def start(self, status: int, reason: bytes, lines: list[bytes], length: int | None) -> None:
        if self._long_body and not self.body_is_read:
            self.close_after = True
        self.begin(status, reason, lines, length, close=self.close_after)
        self.close_after = self.close_after or self.ends_with_close

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
