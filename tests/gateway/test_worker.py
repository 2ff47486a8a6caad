"""What a worker does at intervals, and how that ends."""

from __future__ import annotations

import asyncio
import logging
import socket
import threading
import time
from collections.abc import Callable, Sequence
from typing import cast

import pytest

from byline.gateway.client import ClientLimits, Handler
from byline.gateway.drains import DrainLimits, Drains
from byline.gateway.uploads import UploadLimits, Uploads
from byline.gateway.worker import Periodic, Worker, WorkerOptions

NOBODY_ASKS = cast("Handler", None)


def make_worker(periodics: Sequence[Periodic], closing: Sequence[Callable[[], None]] = ()) -> Worker:
    return Worker(
        NOBODY_ASKS,
        limits=ClientLimits(),
        uploads=Uploads(UploadLimits(), {}),
        options=WorkerOptions(),
        drains=Drains(DrainLimits(), time.monotonic),
        watched=[],
        periodics=periodics,
        closing=closing,
        clock=time.monotonic,
    )


async def run(worker: Worker, ready: Callable[[], None] = lambda: None) -> None:
    await worker.run(socket.create_server(("127.0.0.1", 0)), ready)


def test_work_in_a_thread_is_over_before_what_it_uses_is_closed() -> None:
    events: list[str] = []
    begun, may_end = threading.Event(), threading.Event()

    def work() -> None:
        begun.set()
        assert may_end.wait(10)
        events.append("worked")

    async def stop_meanwhile() -> None:
        worker = make_worker([Periodic(0.0, work, in_thread=True)], [lambda: events.append("closed")])
        running = asyncio.ensure_future(run(worker))
        while not begun.is_set():
            await asyncio.sleep(0)
        worker.stop()
        for _ in range(100):
            await asyncio.sleep(0)
        assert events == []
        may_end.set()
        await running

    asyncio.run(stop_meanwhile())
    assert events == ["worked", "closed"]


@pytest.mark.parametrize("in_thread", [False, True])
def test_a_round_that_fails_is_logged_and_not_the_last(
    caplog: pytest.LogCaptureFixture, in_thread: bool
) -> None:
    rounds: list[int] = []

    def fail(worker: list[Worker], loop: asyncio.AbstractEventLoop) -> None:
        rounds.append(len(rounds))
        if len(rounds) == 3:
            loop.call_soon_threadsafe(worker[0].stop)
        raise LookupError("nothing there")

    async def serve() -> None:
        made: list[Worker] = []
        loop = asyncio.get_running_loop()
        made.append(make_worker([Periodic(0.0, lambda: fail(made, loop), in_thread=in_thread)]))
        await run(made[0])

    with caplog.at_level(logging.ERROR):
        asyncio.run(serve())
    assert len(rounds) >= 3
    assert {record.message for record in caplog.records} == {"a periodic task of the worker failed"}
