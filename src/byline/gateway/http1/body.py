"""Gathers a request's body as its framing says. `take` returns what lies beyond it."""

from __future__ import annotations

from typing import Protocol

from byline.gateway.http1.chunked import ChunkedDecoder
from byline.gateway.http1.request_head import RequestHead


class BodyReceiver(Protocol):
    @property
    def done(self) -> bool: ...

    def take(self, data: bytes) -> bytes: ...
    def whole(self) -> bytes: ...


class SizedBody:
    """`keep` False throws the bytes away: the request has been refused already."""

    def __init__(self, size: int, *, keep: bool = True) -> None:
        self._left = size
        self._keep = keep
        self._parts: list[bytes] = []
        self.done = size == 0

    def take(self, data: bytes) -> bytes:
        part = data[: self._left]
        if self._keep:
            self._parts.append(part)
        self._left -= len(part)
        self.done = self._left == 0
        return data[len(part) :]

    def whole(self) -> bytes:
        return self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)


class ChunkedBody:
    def __init__(self, max_bytes: int) -> None:
        self._decoder = ChunkedDecoder(max_bytes)

    @property
    def done(self) -> bool:
        return self._decoder.done

    def take(self, data: bytes) -> bytes:
        """Raises ProtocolError."""
        self._decoder.feed(data)
        return self._decoder.rest

    def whole(self) -> bytes:
        return b"".join(self._decoder.parts)


def receive_body(head: RequestHead, max_bytes: int) -> BodyReceiver:
    return ChunkedBody(max_bytes) if head.chunked else SizedBody(head.content_length)
