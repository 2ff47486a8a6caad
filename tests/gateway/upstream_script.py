"""An upstream that captures what it receives and does, byte by byte, what a test says."""

from __future__ import annotations

import contextlib
import queue
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Self

OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nrequest-id: req_1\r\n"


@dataclass
class Captured:
    connection: socket.socket
    number: int
    """Which connection it came on, from 0."""
    head: bytes
    body: bytes

    @property
    def headers(self) -> dict[bytes, bytes]:
        lines = [line.split(b":", 1) for line in self.head.split(b"\r\n")[1:]]
        return {name.lower(): value.strip() for name, value in lines}


Script = Callable[[Captured], None]


def answer(
    body: bytes = b'{"id":"msg_1","type":"message","usage":{"input_tokens":3,"output_tokens":2}}',
    head: bytes = OK,
) -> Script:
    """One whole answer; the connection stays open."""
    return lambda seen: seen.connection.sendall(head + b"Content-Length: %d\r\n\r\n" % len(body) + body)


def hang_up(seen: Captured) -> None:
    seen.connection.close()


class ScriptedUpstream:
    """Answers each request with the next script, the last one again and again."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.scripts: list[Script] = [answer()]
        self.seen: list[Captured] = []
        self.arrivals: queue.Queue[Captured] = queue.Queue()
        self._threads: list[threading.Thread] = []
        self._connections: list[socket.socket] = []
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        self._spawn(self._accept)
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in self._connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(10)
        for connection in self._connections:
            connection.close()

    def _spawn(self, target: Callable[[], None]) -> None:
        thread = threading.Thread(target=target)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            number = len(self._connections)
            self._connections.append(connection)
            self._spawn(lambda connection=connection, number=number: self._serve(connection, number))

    def _serve(self, connection: socket.socket, number: int) -> None:
        data = b""
        try:
            while True:
                while b"\r\n\r\n" not in data:
                    piece = connection.recv(65_536)
                    if not piece:
                        return
                    data += piece
                head, _, data = data.partition(b"\r\n\r\n")
                length = next(
                    (
                        int(line[15:])
                        for line in head.split(b"\r\n")
                        if line.lower().startswith(b"content-length:")
                    ),
                    0,
                )
                while len(data) < length:
                    data += connection.recv(65_536)
                body, data = data[:length], data[length:]
                captured = Captured(connection, number, head, body)
                with self._lock:
                    script = self.scripts.pop(0) if len(self.scripts) > 1 else self.scripts[0]
                    self.seen.append(captured)
                self.arrivals.put(captured)
                script(captured)
        except OSError:
            return
