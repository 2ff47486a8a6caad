"""A real Redis or Valkey server, on a free port, for whoever asks for one."""

from __future__ import annotations

import asyncio
import shutil
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

SERVER = shutil.which("redis-server") or shutil.which("valkey-server")

Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@dataclass
class RedisServer:
    port: int
    process: subprocess.Popen[bytes]

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"


def start_redis(directory: Path, *options: str, port: int = 0) -> RedisServer:
    """On `port`, or on a free one."""
    if SERVER is None:
        pytest.skip("no redis-server or valkey-server: apt-get install redis-server")
    with reserved_port(port) as port:
        return _start(SERVER, directory, options, port)


@contextmanager
def reserved_port(port: int = 0) -> Iterator[int]:
    """A free port that nobody else is given meanwhile; who asks for it by number, as Redis does, may listen
    there, and nobody answers before."""
    with socket.socket() as reserved:
        reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        reserved.bind(("127.0.0.1", port))
        yield reserved.getsockname()[1]


def _start(program: str, directory: Path, options: tuple[str, ...], port: int) -> RedisServer:
    command = [program, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
    process = subprocess.Popen(
        [*command, "--dir", str(directory), *options], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 10
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return RedisServer(port, process)
        except OSError:
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.01)


@asynccontextmanager
async def stand_in(talk: Talk) -> AsyncIterator[str]:
    """A server that answers as `talk` says; gives its URL."""

    closed: list[asyncio.Event] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        done = asyncio.Event()
        closed.append(done)
        with suppress(ConnectionError):
            await talk(reader, writer)
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()
        done.set()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}/0"
        for each in closed:
            await each.wait()
