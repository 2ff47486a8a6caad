"""One connection to Redis or Valkey on which commands follow each other without waiting for replies.

A request waits for its reply here, so nothing stands between the two that need not: no pool, no lock, no
stream, and one watch for all replies instead of a timer for each.
"""

from __future__ import annotations

import asyncio
from collections import deque
from importlib.util import find_spec
from typing import Any, Final, NamedTuple, cast

from byline.budgets.counters import CountersUnavailable
from byline.budgets.redis_address import RedisAddress
from byline.budgets.redis_commands import packed

_INCOMPLETE: Final = object()
_REFUSED_UNREAD: Final = frozenset(
    {"LOADING", "READONLY", "MASTERDOWN", "MISCONF", "BUSY", "NOAUTH", "NOPERM"}
)
"""Codes of a server that looks at no script now, or not for us."""


class CommandRefused(Exception):
    """The server's answer is an error. `str(error)` is its code, such as OOM: the rest may repeat arguments."""

    @property
    def is_unknown_script(self) -> bool:
        """It was restarted, or its scripts were flushed."""
        return str(self) == "NOSCRIPT"

    @property
    def may_have_run(self) -> bool:
        """Whether the command came so far as to change something before it failed."""
        return str(self) not in _REFUSED_UNREAD


class _Garbled(Exception):
    """Not the protocol: something else listens there."""


class _Unanswered(NamedTuple):
    reply: asyncio.Future[Any]
    due: float


def require_client() -> None:
    if find_spec("hiredis") is None:
        raise CountersUnavailable("counters in Redis need a client: pip install 'byline[redis]'")


class RedisConnection(asyncio.Protocol):
    """Belongs to one event loop. Once closed it stays so: `connect` opens another."""

    def __init__(self, timeout_s: float) -> None:
        from hiredis import Reader  # counters in the worker do without

        self._loop = asyncio.get_running_loop()
        self._timeout_s = timeout_s
        self._reader = Reader(_Garbled, _refused, encoding="utf-8", notEnoughData=_INCOMPLETE)
        self._transport: asyncio.Transport | None = None
        self._unanswered: deque[_Unanswered] = deque()
        self._watch: asyncio.TimerHandle | None = None

    @property
    def is_open(self) -> bool:
        return self._transport is not None

    def send(self, command: bytes) -> asyncio.Future[Any]:
        """A future with the reply; CommandRefused, TimeoutError or OSError where there is none."""
        reply: asyncio.Future[Any] = self._loop.create_future()
        if self._transport is None:
            reply.set_exception(ConnectionResetError())
            return reply
        self._transport.write(command)
        due = self._loop.time() + self._timeout_s
        self._unanswered.append(_Unanswered(reply, due))
        if self._watch is None:
            self._watch = self._loop.call_at(due, self._look)
        return reply

    def close(self, error: Exception | None = None) -> None:
        """What is unanswered ends with `error`."""
        transport, self._transport = self._transport, None
        if transport is not None:
            transport.abort()
        if self._watch is not None:
            self._watch.cancel()
        unanswered, self._unanswered = self._unanswered, deque()
        for reply, _ in unanswered:
            if not reply.done():
                reply.set_exception(error or ConnectionResetError())

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._reader.feed(data)
        try:
            while (found := self._reader.gets()) is not _INCOMPLETE:
                self._answer(found)
        except (_Garbled, UnicodeDecodeError):
            self.close(ConnectionResetError())

    def connection_lost(self, exc: Exception | None) -> None:
        self.close(exc)

    def _answer(self, found: Any) -> None:
        if not self._unanswered:  # out of step, or the error that a server sends before it hangs up
            self.close()
            return
        reply = self._unanswered.popleft().reply
        if reply.done():
            return
        if isinstance(found, CommandRefused):
            reply.set_exception(found)
        else:
            reply.set_result(found)

    def _look(self) -> None:
        """A server that keeps one reply back holds up all that follow, so the connection is given up whole."""
        self._watch = None
        if not self._unanswered:
            return
        due = self._unanswered[0].due
        if due <= self._loop.time():
            self.close(TimeoutError())
        else:
            self._watch = self._loop.call_at(due, self._look)


def _refused(text: str) -> CommandRefused:
    return CommandRefused(text.partition(" ")[0])


async def connect(address: RedisAddress, timeout_s: float) -> RedisConnection:
    """Raises OSError, TimeoutError or CommandRefused."""
    require_client()
    loop = asyncio.get_running_loop()

    def open_one() -> RedisConnection:
        return RedisConnection(timeout_s)

    async with asyncio.timeout(timeout_s):
        if address.path:
            _, connection = await loop.create_unix_connection(open_one, address.path)
        else:
            _, connection = await loop.create_connection(
                open_one, address.host, address.port, ssl=address.tls
            )
        try:
            await _introduce(connection, address)
        except BaseException:
            connection.close()
            raise
    return connection


async def _introduce(connection: RedisConnection, address: RedisAddress) -> None:
    steps: list[tuple[str | int, ...]] = []
    if address.password is not None:
        names = [address.username] if address.username else []
        steps.append(("AUTH", *names, address.password))
    if address.database:
        steps.append(("SELECT", address.database))
    for step in steps:
        try:
            await connection.send(packed(*step))
        except CommandRefused as refused:
            raise CommandRefused(f"{step[0]} is refused: {refused}") from None
