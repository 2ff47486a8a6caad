"""Runs scripts in Redis or Valkey, on one connection that is opened when it is needed, and again when it was lost.

All calls of one turn of the event loop leave in one write. Calls whose answer nobody waits for are sent a
few at a time, so that an admission never waits behind a heap of them.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

from byline.budgets.counters import CountersUnavailable
from byline.budgets.redis_address import RedisAddress
from byline.budgets.redis_commands import Script, packed
from byline.budgets.redis_connection import CommandRefused, RedisConnection, connect

log = logging.getLogger(__name__)

MOST_TOLD_AT_ONCE = 64

Arguments = Sequence[str | int]
NotTold = Callable[[BaseException | None], None]
"""Called with what came instead of an answer; None where the script was never sent."""


class Unanswered(CountersUnavailable):
    """The script was sent, so it may have run all the same."""


class _Told(NamedTuple):
    script: Script
    arguments: Arguments
    not_told: NotTold | None
    whole: bool = False
    """With the script's text: the server doesn't know it."""


class RedisLink:
    """Belongs to one event loop."""

    def __init__(self, address: RedisAddress, timeout_s: float) -> None:
        self._address = address
        self._timeout_s = timeout_s
        self._connection: RedisConnection | None = None
        self._connecting: asyncio.Task[RedisConnection] | None = None
        self._to_tell: deque[_Told] = deque()
        self._told: set[asyncio.Future[Any]] = set()
        self.trouble: str | None = None
        """Why the server can't be asked; None while it answers."""

    async def ask(self, script: Script, arguments: Arguments) -> Any:
        """Raises CountersUnavailable."""
        connection = self._connection
        if connection is None or not connection.is_open:
            try:
                connection = await self._reach()
            except (CommandRefused, OSError) as error:
                raise self._failed(error) from None
        try:
            answer = await self._run(connection, script, arguments)
        except CommandRefused as refused:
            raise self._failed(refused) from None
        except OSError as error:
            raise Unanswered(str(self._failed(error))) from None
        self._answered()
        return answer

    def tell(self, script: Script, arguments: Arguments, not_told: NotTold | None = None) -> None:
        self._to_tell.append(_Told(script, arguments, not_told))
        self._tell_more()

    async def command(self, *parts: str | int) -> Any:
        """Raises CountersUnavailable."""
        try:
            return await (await self._reach()).send(packed(*parts))
        except (CommandRefused, OSError) as error:
            raise self._failed(error) from None

    def mistrust(self) -> CountersUnavailable:
        """For answers that can't be to what was asked: those that follow on that connection might not be either."""
        if self._connection is not None:
            self._connection.close()
        return self._failed(CommandRefused("an answer to something else"))

    async def close(self) -> None:
        """Sends what waits to be sent, then hangs up."""
        try:
            async with asyncio.timeout(self._timeout_s * 2):
                while waiting := [*self._told, *([self._connecting] if self._connecting else [])]:
                    await asyncio.wait(waiting)
        except TimeoutError:
            pass
        if self._connection is not None:
            self._connection.close()

    async def _run(self, connection: RedisConnection, script: Script, arguments: Arguments) -> Any:
        """Once more on a connection that turned out to be closed: every script stands being repeated."""
        try:
            return await connection.send(script.by_hash(arguments))
        except ConnectionError:
            connection = await self._reach()
        except CommandRefused as refused:
            if not refused.is_unknown_script:
                raise
        return await connection.send(script.in_full(arguments))

    async def _reach(self) -> RedisConnection:
        if self._connection is not None and self._connection.is_open:
            return self._connection
        return await asyncio.shield(self._connecting or self._connect())

    def _connect(self) -> asyncio.Task[RedisConnection]:
        task = asyncio.get_running_loop().create_task(connect(self._address, self._timeout_s))
        task.add_done_callback(self._connected)
        self._connecting = task
        return task

    def _connected(self, task: asyncio.Task[RedisConnection]) -> None:
        self._connecting = None
        if task.cancelled():
            return
        error = task.exception()
        if error is None:
            self._connection = task.result()
            if self._connection.is_open:
                self._tell_more()
                return
            error = ConnectionResetError()  # closed as soon as opened, and so would be the next
        self._failed(error)
        self._tell_no_more()

    def _tell_no_more(self) -> None:
        """Nobody listens. What waited is not heaped up here."""
        waiting, self._to_tell = self._to_tell, deque()
        for told in waiting:
            if told.not_told is not None:
                told.not_told(None)

    def _tell_more(self) -> None:
        connection = self._connection
        if connection is None or not connection.is_open:
            if self._to_tell and self._connecting is None:
                self._connect()
            return
        while self._to_tell and len(self._told) < MOST_TOLD_AT_ONCE:
            told = self._to_tell.popleft()
            build = told.script.in_full if told.whole else told.script.by_hash
            reply = connection.send(build(told.arguments))
            self._told.add(reply)
            reply.add_done_callback(partial(self._was_told, told))

    def _was_told(self, told: _Told, reply: asyncio.Future[Any]) -> None:
        self._told.discard(reply)
        error = reply.exception()
        if error is None:
            self._answered()
        elif isinstance(error, CommandRefused) and error.is_unknown_script and not told.whole:
            self._to_tell.appendleft(told._replace(whole=True))
        else:
            self._failed(error)
            if isinstance(error, TimeoutError):
                self._tell_no_more()
            if told.not_told is not None:
                told.not_told(error)
        self._tell_more()

    def _answered(self) -> None:
        if self.trouble is not None:
            self.trouble = None
            log.warning("the counter store answers again")

    def _failed(self, error: BaseException) -> CountersUnavailable:
        """Said without the address, which may carry a password."""
        reason = str(error) if isinstance(error, CommandRefused) else type(error).__name__
        if self.trouble is None:
            log.error("the counter store can't be asked: %s", reason)
        self.trouble = reason
        return CountersUnavailable(reason)
