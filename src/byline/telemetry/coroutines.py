"""Runs what an asynchronous sink returns, on one loop in one thread, started when the first one comes.

Nobody waits for the results. Bounded: what comes beyond `limit` is closed and counted.
"""

from __future__ import annotations

from collections.abc import Awaitable, Coroutine
from typing import TYPE_CHECKING, Any, cast

from byline.telemetry.counters import Counters

if TYPE_CHECKING:
    import asyncio


class CoroutineRunner:
    def __init__(self, counters: Counters, *, limit: int = 1000) -> None:
        self._counters = counters
        self._limit = limit
        self._loop: asyncio.AbstractEventLoop | None = None
        self._written_off = False
        self._under_way = 0
        """Changed by the loop's thread and the caller's: a coroutine more or less does no harm."""

    def run(self, result: object) -> bool:
        """Whether it was awaitable, and so is counted here: delivered when it is done, or lost."""
        if not hasattr(result, "__await__"):
            return False
        if self._under_way >= self._limit:
            self._counters.drop("async_backlog")
            if hasattr(result, "close"):
                cast("Coroutine[Any, Any, Any]", result).close()
            return True
        import asyncio

        self._under_way += 1
        asyncio.run_coroutine_threadsafe(
            self._guarded(cast("Awaitable[object]", result)), self._running_loop()
        )
        return True

    def forget(self) -> None:
        """After a fork: the loop's thread stayed with the parent."""
        self._loop = None
        self._written_off = False
        self._under_way = 0

    def wait(self, deadline: float) -> None:
        """Until all are done, or the deadline (monotonic seconds)."""
        import time

        while self._under_way and time.monotonic() < deadline:
            time.sleep(0.005)

    def write_off(self) -> None:
        """Those under way are lost: the program ends now."""
        self._written_off = True
        self._counters.drop("shutdown", self._under_way)

    async def _guarded(self, awaitable: Awaitable[object]) -> None:
        is_done = False
        try:
            await awaitable
            is_done = True
        except Exception:  # noqa: BLE001 - a sink's errors are never the program's
            return
        finally:
            self._under_way -= 1
            if not self._written_off:
                self._count(is_done=is_done)

    def _count(self, *, is_done: bool) -> None:
        if is_done:
            self._counters.deliver_awaited()
        else:
            self._counters.drop("sink_error")

    def _running_loop(self) -> asyncio.AbstractEventLoop:
        if self._loop is None:
            import asyncio
            import threading

            self._loop = asyncio.new_event_loop()
            threading.Thread(
                target=self._loop.run_forever, name="byline-telemetry-async", daemon=True
            ).start()
        return self._loop
