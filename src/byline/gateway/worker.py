"""A worker process's life: listen, look after deadlines, refresh what is watched, stop gracefully."""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections.abc import Callable, Sequence
from typing import Protocol, cast

import msgspec

from byline.gateway.client import ClientConnection, ClientLimits, Handler
from byline.gateway.drains import Drains
from byline.gateway.uploads import Uploads

SWEEP_INTERVAL_S = 0.25
STOP_CHECK_INTERVAL_S = 0.02
log = logging.getLogger(__name__)

_TOO_MANY = (
    b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\nretry-after: 1\r\n"
    b"connection: close\r\ncontent-length: 88\r\n\r\n"
    b'{"type":"error","error":{"type":"overloaded_error","message":"too many connections"}}   '
)


class HasDeadlines(Protocol):
    def check_deadlines(self, now: float) -> None: ...


class Periodic(msgspec.Struct, frozen=True):
    """Something to be done every `interval_s`, on the loop: it must be quick."""

    interval_s: float
    run: Callable[[], object]
    in_thread: bool = False
    """It may wait for locks or the disk, so a thread does it; the worker ends only after it has."""


class WorkerOptions(msgspec.Struct, frozen=True):
    max_connections: int = 10_000
    shutdown_timeout_s: float = 30.0


class Worker:
    def __init__(
        self,
        handler: Handler,
        *,
        limits: ClientLimits,
        uploads: Uploads,
        options: WorkerOptions,
        drains: Drains,
        watched: Sequence[HasDeadlines],
        periodics: Sequence[Periodic],
        closing: Sequence[Callable[[], None]],
        clock: Callable[[], float],
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._handler = handler
        self._limits = limits
        self.uploads = uploads
        self._options = options
        self.drains = drains
        self._watched = [drains, *watched]
        self._periodics = periodics
        self._closing = closing
        self._clock = clock
        self._tls = tls
        self._clients: set[ClientConnection] = set()
        self._stopping = asyncio.Event()

    @property
    def connections(self) -> int:
        return len(self._clients)

    def stop(self) -> None:
        """Begins the graceful stop: streams in flight finish under the deadline."""
        self._stopping.set()

    async def run(self, listener: socket.socket, ready: Callable[[], None]) -> None:
        """Serves on `listener` until stopped; `ready` is called once connections are accepted."""
        loop = asyncio.get_running_loop()
        tasks = [loop.create_task(self._repeat(periodic)) for periodic in self._all_periodics()]
        server = await loop.create_server(
            self._accept,
            sock=listener,
            ssl=self._tls,
            ssl_handshake_timeout=self._limits.header_timeout_s if self._tls else None,
            backlog=1024,
        )
        ready()
        await self._stopping.wait()
        server.close()
        await self._finish_streams()
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        for close in self._closing:
            close()
        await asyncio.sleep(0)  # transports tell their protocols on the next turn

    def _all_periodics(self) -> list[Periodic]:
        return [Periodic(SWEEP_INTERVAL_S, self._sweep), *self._periodics]

    async def _repeat(self, periodic: Periodic) -> None:
        while True:
            await asyncio.sleep(periodic.interval_s)
            try:
                if periodic.in_thread:
                    await _in_thread(periodic.run)
                else:
                    periodic.run()
            except Exception:
                # One failed round must not end the rounds; what it looked after says so itself.
                log.exception("a periodic task of the worker failed")

    def _accept(self) -> asyncio.Protocol:
        if len(self._clients) >= self._options.max_connections:
            return _Refusal()
        return ClientConnection(
            self._handler, self._limits, self.uploads, self._clock, self._clients.add, self._clients.discard
        )

    def _sweep(self) -> None:
        now = self._clock()
        for client in [each for each in self._clients if each.deadline <= now]:
            client.check_deadline(now)
        for watched in self._watched:
            watched.check_deadlines(now)

    async def _finish_streams(self) -> None:
        """Answers go on to their end, also those that are only read on for their usage."""
        deadline = self._clock() + self._options.shutdown_timeout_s
        for client in list(self._clients):
            client.stop()
        await self._wait_until(deadline)
        if self._clients:
            log.warning("ending %d connections that did not finish in time", len(self._clients))
        for client in list(self._clients):
            client.stop_now()
        self.drains.close()

    async def _wait_until(self, deadline: float) -> None:
        is_said = False
        while self._under_way and self._clock() < deadline:
            await asyncio.sleep(STOP_CHECK_INTERVAL_S)
            if self._under_way and not is_said:  # connections without a request have ended meanwhile
                is_said = True
                timeout_s = self._options.shutdown_timeout_s
                log.info("waiting for %s under way, up to %g s", _requests(self._under_way), timeout_s)

    @property
    def _under_way(self) -> int:
        """Once stopping: a connection is kept for its request alone."""
        return len(self._clients) + len(self.drains)


def _requests(count: int) -> str:
    return "1 request" if count == 1 else f"{count} requests"


async def _in_thread(run: Callable[[], object]) -> None:
    """Cancelled, it still waits for the thread: what that works on is closed next."""
    work = asyncio.get_running_loop().run_in_executor(None, run)
    try:
        await asyncio.shield(work)
    except asyncio.CancelledError:
        await asyncio.wait([work])
        raise


class _Refusal(asyncio.Protocol):
    """Over the connection cap."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        cast("asyncio.WriteTransport", transport).write(_TOO_MANY)
        transport.close()
