from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

import pytest

from benchmarks import native_tools
from benchmarks.marked_load import MarkedLoad
from benchmarks.provider import provider

pytestmark = pytest.mark.skipif(shutil.which("gcc") is None, reason="the provider is compiled with gcc")


async def until_answered(load: MarkedLoad, count: int) -> None:
    async with load.running():
        while len(load.answered) < count:
            await asyncio.sleep(0.01)


def test_each_request_has_a_marker_of_its_own_which_the_provider_logs(tmp_path: Path) -> None:
    markers = tmp_path / "markers"
    with provider(native_tools.build(tmp_path), events=5, gap_us=2_000, markers=markers) as provided:
        load = MarkedLoad(provided.port, "key", clients=4)
        asyncio.run(until_answered(load, 20))
        seen = provided.stop()
    logged = markers.read_text().split()
    assert len(logged) == len(set(logged)) == load.sent == seen.requests
    assert set(logged) == load.answered
    assert (load.broken, load.refused) == (0, 0)
    assert 0 < seen.streams_ended < seen.requests, "some of the clients stream, some don't"


def test_clients_come_back_when_the_server_does(tmp_path: Path) -> None:
    tools = native_tools.build(tmp_path)

    async def outage() -> MarkedLoad:
        with provider(tools) as first:
            load = MarkedLoad(first.port, "key", clients=2)
            async with load.running():
                while not load.answered:
                    await asyncio.sleep(0.01)
                first.process.kill()
                first.process.wait()
                while not load.broken:
                    await asyncio.sleep(0.01)
                before = len(load.answered)
                with provider(tools) as second:
                    load.port = second.port
                    while len(load.answered) == before:
                        await asyncio.sleep(0.01)
        return load

    assert asyncio.run(outage()).broken > 0
