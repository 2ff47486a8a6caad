"""Server-sent events from a server that may do anything: read without blocking, in bounded memory."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from contextlib import suppress
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from typing import Final
from urllib.parse import urlsplit

from byline.flags.payload import MAX_BYTES
from byline.flags.sources.chunks import ChunkReader
from byline.flags.sources.http import HttpOptions, tls_context
from byline.flags.sources.source import SourceError, StreamAddress
from byline.wire.sse import SseFramer, parse_event, with_lf

_READ_BYTES: Final = 65_536
_MAX_READS: Final = 64
"""Per look, so that a server that never pauses doesn't keep the thread from its other duties."""

Event = tuple[bytes, bytes]


class EventStream:
    """Opens in the constructor, which raises SourceError. Goes past the environment's proxies."""

    def __init__(self, address: StreamAddress, options: HttpOptions) -> None:
        parts = urlsplit(address.url)
        assert parts.hostname is not None
        self._host = parts.hostname
        if parts.scheme == "https":
            self._connection: HTTPConnection = HTTPSConnection(
                parts.hostname, parts.port, timeout=options.timeout_s, context=tls_context(options)
            )
        else:
            self._connection = HTTPConnection(parts.hostname, parts.port, timeout=options.timeout_s)
        self._framer = SseFramer(limit=MAX_BYTES)
        self._socket: socket.socket | None = None
        self._response: HTTPResponse | None = None
        try:
            self._rest, self._chunks = self._open(parts.path, address.headers)
        except (OSError, HTTPException, ValueError) as error:
            self.close()
            raise SourceError(f"{self._host} gives no stream ({type(error).__name__})") from None
        except SourceError:
            self.close()
            raise

    @property
    def socket(self) -> socket.socket:
        assert self._socket is not None
        return self._socket

    def read(self) -> Iterator[Event]:
        """The events that have come by now, without waiting. Raises SourceError once it has ended."""
        for data in self._arrived():
            plain = self._chunks.feed(data) if self._chunks else data
            for event in with_lf(self._framer.feed(plain)).split(b"\n\n"):
                if event.strip():
                    yield parse_event(event)
            if self._chunks and self._chunks.ended:
                raise SourceError(f"{self._host} has ended the stream")

    def close(self) -> None:
        for each in (self._response, self._connection):
            if each is not None:
                with suppress(OSError):
                    each.close()

    def _open(self, path: str, headers: dict[str, str]) -> tuple[bytes, ChunkReader | None]:
        connection = self._connection
        connection.connect()
        # http.client forgets the socket of an answer that ends with its connection.
        self._socket = opened = connection.sock
        connection.request("GET", path, headers={"accept": "text/event-stream", **headers})
        self._response = response = connection.getresponse()
        kind = response.headers.get_content_type()
        if response.status != 200 or kind != "text/event-stream":
            raise SourceError(f"{self._host} gives no stream ({response.status}, {kind})")
        opened.setblocking(False)
        return _buffered(response.fp), ChunkReader() if response.chunked else None

    def _arrived(self) -> Iterator[bytes]:
        rest, self._rest = self._rest, b""
        if rest:
            yield rest
        for _ in range(_MAX_READS):
            try:
                data = self.socket.recv(_READ_BYTES)
            except (BlockingIOError, ssl.SSLWantReadError):
                return
            except OSError as error:
                raise SourceError(f"{self._host} has broken the stream ({type(error).__name__})") from None
            if not data:
                raise SourceError(f"{self._host} has ended the stream")
            yield data


def _buffered(file: object) -> bytes:
    """What came with the answer's head."""
    peek = getattr(file, "peek", None)
    if peek is None:
        return b""
    with suppress(ssl.SSLWantReadError, BlockingIOError):
        return bytes(peek())
    return b""
