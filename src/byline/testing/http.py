"""Just enough HTTP/1.1 to stand in for a provider: keep-alive, Content-Length, chunked, hang-ups.

Independent of the gateway's own HTTP code on purpose: a mistake shared by both would hide itself.
Not hardened, and bound to loopback only.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus

Headers = tuple[tuple[str, str], ...]

HEAD_LIMIT = 1024 * 1024
BODY_LIMIT = 256 * 1024 * 1024
_REASONS = {status.value: status.phrase for status in HTTPStatus} | {529: "Site Overloaded"}


class FramingError(ValueError):
    """The bytes on the connection are not a request this server can frame."""


class ClientGone(ConnectionError):
    """The client closed its side while an answer was still being written."""


@dataclass(frozen=True, slots=True)
class Request:
    """One request as it stood on the wire; header names keep their case."""

    method: str
    target: str
    version: str
    headers: Headers
    body: bytes

    @property
    def path(self) -> str:
        return self.target.partition("?")[0]

    @property
    def keeps_alive(self) -> bool:
        asked = (self.header("connection") or "").lower()
        return "close" not in asked if self.version == "HTTP/1.1" else "keep-alive" in asked

    def header(self, name: str) -> str | None:
        """The first value of a header, whatever its case."""
        return next((value for key, value in self.headers if key.lower() == name), None)


class Connection:
    """One accepted connection: requests in, answers out, one after the other."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        # `drain` then returns only once the kernel has everything, so that a cut loses nothing sent.
        writer.transport.set_write_buffer_limits(0)

    async def read_request(self) -> Request | None:
        """The next request, or None once the client has no more."""
        try:
            head = await self._reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError as error:
            if error.partial:
                raise FramingError("the connection ended inside a request head") from None
            return None
        method, target, version, headers = _parse_head(head)
        request = Request(method, target, version, headers, b"")
        if (request.header("expect") or "").lower() == "100-continue":
            await self.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        return Request(method, target, version, headers, await self._read_body(request))

    async def _read_body(self, request: Request) -> bytes:
        if (request.header("transfer-encoding") or "").lower() == "chunked":
            return await self._read_chunks()
        length = request.header("content-length") or "0"
        if not length.isdecimal() or int(length) > BODY_LIMIT:
            raise FramingError(f"cannot take a body of Content-Length {length!r}")
        return await self._reader.readexactly(int(length))

    async def _read_chunks(self) -> bytes:
        body = bytearray()
        while size := int((await self._reader.readline()).split(b";")[0], 16):
            body += await self._reader.readexactly(size)
            await self._reader.readexactly(2)
            if len(body) > BODY_LIMIT:
                raise FramingError("the chunked body is too long")
        while (await self._reader.readline()).strip():
            pass  # trailers
        return bytes(body)

    async def write(self, data: bytes) -> None:
        try:
            self._writer.write(data)
            await self._writer.drain()
        except ConnectionError:
            raise ClientGone from None

    async def until_client_leaves(self) -> None:
        """Waits for the client's end of stream; whatever it still sends is thrown away."""
        try:
            while await self._reader.read(65536):
                pass
        except ConnectionError:
            return

    def cut(self, *, reset: bool = False) -> None:
        """Ends the connection now: with FIN, or with RST."""
        if reset:
            raw: socket.socket = self._writer.get_extra_info("socket")
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._writer.transport.abort()

    async def close(self) -> None:
        self._writer.close()
        try:
            await self._writer.wait_closed()
        except ConnectionError:
            return


class Answer:
    """One answer being written: a head, then pieces, then an end; or a cut anywhere between."""

    def __init__(self, connection: Connection, *, chunked: bool, has_body: bool = True) -> None:
        self._connection = connection
        self._chunked = chunked
        self._has_body = has_body

    async def head(self, status: int, headers: Sequence[tuple[str, str]]) -> None:
        lines = [f"HTTP/1.1 {status} {_REASONS.get(status, 'Unknown')}"]
        lines += [f"{name}: {value}" for name, value in headers]
        if self._chunked:
            lines.append("transfer-encoding: chunked")
        await self._connection.write("\r\n".join([*lines, "", ""]).encode("latin-1"))

    async def piece(self, data: bytes) -> None:
        if not self._has_body or not data:
            return
        await self._connection.write(b"%x\r\n%b\r\n" % (len(data), data) if self._chunked else data)

    async def end(self) -> None:
        if self._chunked and self._has_body:
            await self._connection.write(b"0\r\n\r\n")


def _parse_head(head: bytes) -> tuple[str, str, str, Headers]:
    first, *lines = head[:-4].decode("latin-1").split("\r\n")
    try:
        method, target, version = first.split(" ")
    except ValueError:
        raise FramingError("the request line does not have three parts") from None
    headers: list[tuple[str, str]] = []
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon or not name or name != name.strip():
            raise FramingError("a header line has no name")
        headers.append((name, value.strip(" \t")))
    return method, target, version, tuple(headers)
