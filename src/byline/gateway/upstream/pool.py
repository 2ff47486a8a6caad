"""The connections of one worker to one origin."""

from __future__ import annotations

import ssl
from collections import deque

from byline.gateway.http1.answer_heads import AnswerHeads
from byline.gateway.upstream.connection import Clock, Timeouts, UpstreamConnection
from byline.gateway.upstream.dial import DialError, dial
from byline.gateway.upstream.origin import Origin, Proxy


class UpstreamPool:
    """Newest idle connection first: the others age and close."""

    def __init__(
        self,
        origin: Origin,
        *,
        tls: ssl.SSLContext,
        proxy: Proxy | None,
        timeouts: Timeouts,
        max_idle: int,
        clock: Clock,
    ) -> None:
        self.origin = origin
        self.proxy = proxy
        self._tls = tls
        self._timeouts = timeouts
        self._max_idle = max_idle
        self._clock = clock
        self._idle: deque[UpstreamConnection] = deque()
        self._all: set[UpstreamConnection] = set()
        self._heads = AnswerHeads()
        self._closed = False

    def take(self) -> UpstreamConnection | None:
        """An idle connection that was checked for an end of its stream, or None."""
        while self._idle:
            connection = self._idle.pop()
            if connection.is_fresh():
                return connection
            connection.close()
        return None

    async def connect(self) -> UpstreamConnection:
        """A new connection. Raises DialError."""
        connection = await dial(
            self._new, self.origin, tls=self._tls, proxy=self.proxy, timeout_s=self._timeouts.connect_s
        )
        if not connection.is_idle():
            raise DialError("connect_error", f"{self.origin.host} closed the connection at once")
        self._all.add(connection)
        return connection

    def check_deadlines(self, now: float) -> None:
        for connection in [each for each in self._all if each.deadline <= now]:
            connection.check_deadline(now)

    def close(self) -> None:
        """For the end of the worker: whatever is still under way is cancelled."""
        self._closed = True
        for connection in list(self._all):
            connection.abort()

    def _new(self) -> UpstreamConnection:
        return UpstreamConnection(self._released, self._timeouts, self._clock, self._heads)

    def _released(self, connection: UpstreamConnection) -> None:
        if not connection.is_idle():
            self._all.discard(connection)
            if connection in self._idle:
                self._idle.remove(connection)
        elif self._closed or len(self._idle) >= self._max_idle:
            connection.close()
        else:
            self._idle.append(connection)
