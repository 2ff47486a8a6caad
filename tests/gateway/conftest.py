"""A real worker on a thread of its own, between a raw client socket and a scripted upstream."""

from __future__ import annotations

import asyncio
import itertools
import socket
import threading
import time
from collections.abc import Callable, Generator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import msgspec
import pytest
import uvloop
from tests.gateway.upstream_script import ScriptedUpstream

from byline.assembly.budgets import WorkerBudgets
from byline.assembly.data_dir import open_data_dir
from byline.assembly.gateway import CLOCK, build_worker, open_journal
from byline.control.database import open_control
from byline.control.directory import KeyDirectory
from byline.control.keys import create_key
from byline.gateway.turn import Turn
from byline.gateway.worker import Worker
from byline.settings import load

KNOWN_S = 10.0
"""Far longer than the second within which a new key has to count."""


class Rig:
    """`env` are settings as environment variables; `upstream.url` is where both providers point."""

    def __init__(self, data_dir: Path, upstream: ScriptedUpstream, env: dict[str, str]) -> None:
        self.data_dir = data_dir
        self.upstream = upstream
        environ = {
            "ANTHROPIC_API_KEY": "sk-ant-ours",
            "OPENAI_API_KEY": "sk-oai-ours",
            "BYLINE_DATA_DIR": str(data_dir),
            "BYLINE_PROVIDERS__ANTHROPIC__BASE_URL": upstream.url,
            "BYLINE_PROVIDERS__OPENAI__BASE_URL": upstream.url,
            "BYLINE_KEYS__POLL_INTERVAL": "20ms",
            "BYLINE_BUDGETS__SEED_TIMEOUT": "10ms",
        } | {name: value.replace("PLACEHOLDER", upstream.url) for name, value in env.items()}
        self._environ = environ
        self.settings = load(None, environ)
        open_data_dir(self.settings)
        self.key = self.new_key("ada", team="core", email="ada@example.com")
        self._ready, self._stop_asked = threading.Event(), False
        self._loop: asyncio.AbstractEventLoop | None = None
        self.worker: Worker | None = None
        self.budgets: WorkerBudgets | None = None
        self.port = 0
        self._thread = threading.Thread(target=lambda: uvloop.run(self._serve()))
        self._thread.start()
        if not self._ready.wait(10):
            self.stop()
            raise AssertionError("the worker does not start")

    def new_key(self, user: str, **more: Any) -> str:
        with open_control(self.data_dir / "control.sqlite3") as control:
            return create_key(control, user, **more).text

    def known_key(self, user: str, **more: Any) -> str:
        """A new key, once the worker has heard of it."""
        key = self.new_key(user, **more)
        deadline = time.monotonic() + KNOWN_S
        while not self._knows(key):
            assert time.monotonic() < deadline, "the worker does not hear of the key"
        return key

    def _knows(self, key: str) -> bool:
        """Asked by sending no usage at all, which leaves no row and goes nowhere."""
        with self.connect() as connection:
            connection.sendall(request("/byline/v1/usage", b"\n", key=key))
            return not receive_answer(connection)[0].startswith(b"HTTP/1.1 401 ")

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        data_dir = open_data_dir(self.settings)
        turn = Turn(self._loop.call_soon, CLOCK)
        journal = open_journal(self.settings, data_dir, 0, turn)
        directory = KeyDirectory(data_dir.control, max_stale_s=self.settings.keys.max_stale)
        directory.refresh_if_changed()
        budgets = self.budgets = WorkerBudgets(self.settings, data_dir, directory, 0)
        try:
            await budgets.start()
            self.worker = build_worker(
                self.settings, self._environ, data_dir, turn, journal, directory, 0, budgets
            )
            listener = socket.create_server(("127.0.0.1", 0))
            self.port = listener.getsockname()[1]
            await self.worker.run(listener, self._started)
        finally:
            await budgets.close()
            journal.close()
            directory.close()
            self._ready.set()

    def _started(self) -> None:
        self._ready.set()
        if self._stop_asked and self.worker is not None:
            self.worker.stop()

    def stop(self) -> None:
        self._stop_asked = True
        if self._loop is not None and self.worker is not None and self._thread.is_alive():
            self._loop.call_soon_threadsafe(self.worker.stop)
        self._thread.join(20)
        assert not self._thread.is_alive()

    def connect(self) -> socket.socket:
        connection = socket.create_connection(("127.0.0.1", self.port), timeout=10)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection

    def rows(self) -> list[dict[str, Any]]:
        """The ends journalled, in order. Stops the worker first, so that all are written."""
        self.stop()
        lines = [
            line
            for path in sorted((self.data_dir / "journal").glob("*.ndjson"))
            for line in path.read_bytes().splitlines()
        ]
        return [row for line in lines if (row := msgspec.json.decode(line))["entry"] == "end"]


def request(
    path: str = "/v1/messages",
    body: bytes = b'{"model":"m","max_tokens":5,"messages":[]}',
    *,
    key: str,
    method: str = "POST",
    extra: str = "",
    header: str = "x-api-key",
) -> bytes:
    length = f"Content-Length: {len(body)}\r\n" if body else ""
    head = f"{method} {path} HTTP/1.1\r\nHost: gateway\r\n{header}: {key}\r\n{length}{extra}\r\n"
    return head.encode() + body


def receive_until(connection: socket.socket, end: bytes | Callable[[bytes], bool]) -> bytes:
    """Everything up to `end`, or to the end of the connection."""
    done = end if callable(end) else lambda data: end in data
    data = b""
    while not done(data):
        piece = connection.recv(65_536)
        if not piece:
            break
        data += piece
    return data


def receive_answer(connection: socket.socket) -> tuple[bytes, bytes]:
    """Head and body of one answer with a Content-Length, or chunked (decoded)."""
    data = receive_until(connection, b"\r\n\r\n")
    head, _, body = data.partition(b"\r\n\r\n")
    lines = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:])
    if b"content-length" in lines:
        length = int(lines[b"content-length"])
        while len(body) < length:
            piece = connection.recv(65_536)
            assert piece, "the answer was cut"
            body += piece
        return head, body
    while not body.endswith(b"0\r\n\r\n"):
        piece = connection.recv(65_536)
        assert piece, "the answer was cut"
        body += piece
    return head, dechunk(body)


def dechunk(body: bytes) -> bytes:
    plain = b""
    while body:
        size, _, body = body.partition(b"\r\n")
        plain, body = plain + body[: int(size, 16)], body[int(size, 16) + 2 :]
    return plain


@pytest.fixture
def upstream() -> Generator[ScriptedUpstream]:
    with ScriptedUpstream() as scripted:
        yield scripted


@pytest.fixture
def make_rig(tmp_path: Path, upstream: ScriptedUpstream) -> Generator[Callable[..., Rig]]:
    numbers = itertools.count()
    with ExitStack() as running:

        def make(**env: str) -> Rig:
            rig = Rig(tmp_path / f"data{next(numbers)}", upstream, env)
            running.callback(rig.stop)
            return rig

        yield make


@pytest.fixture
def rig(make_rig: Callable[..., Rig]) -> Rig:
    return make_rig()
