"""Whole programs: their exit, their forks, their death."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import time

import pytest

PRELUDE = """
import os, sys, time
from byline.telemetry.queue import EventQueue
from byline.telemetry.fanout import FanOut, FirstPartyRoute, GeneralRoute
from byline.telemetry.delivery import DeliveryOptions
from byline.telemetry.source import Source
"""


def program(text: str, *args: str) -> list[str]:
    return [sys.executable, "-c", PRELUDE + textwrap.dedent(text), *args]


def test_sinks_that_hang_for_ever_hold_the_exit_for_a_second_and_are_counted(receiver):
    """The collector and Datadog hang, and so does a sink of the program's own."""
    receiver.gate.clear()
    text = """
    import atexit
    from byline.telemetry.sinks.datadog import DatadogLogs
    from byline.telemetry.sinks.otlp import OtlpLogs
    class Stuck:
        def log_event(self, name, metadata): time.sleep(3600)
        log_event_async = log_event
    source = Source()
    sinks = [DatadogLogs("key", source, url=sys.argv[1], timeout_s=60), OtlpLogs(source, endpoint=sys.argv[1], timeout_s=60)]
    fan_out = FanOut([GeneralRoute(sink, options=DeliveryOptions(interval_s=0.01, capacity=100)) for sink in sinks])
    queue, own = EventQueue(linger_s=0), EventQueue(capacity=100)
    queue.attach(fan_out); own.attach(Stuck())
    for number in range(1000):
        queue.log_event("a", {"n": number}); own.log_event("a", {"n": number})
    queue.flush(5)
    began = time.monotonic()
    def told():  # registered first, so it runs last
        took = time.monotonic() - began
        print(took, *[sum(each.counters.dropped.values()) for each in (*sinks, own)], flush=True)
    atexit._clear(); atexit.register(told)
    from byline.telemetry.at_exit import close_at_exit
    close_at_exit(queue.close); close_at_exit(own.close)
    began = time.monotonic()
    """
    result = subprocess.run(
        program(text, receiver.url), capture_output=True, text=True, timeout=60, check=False
    )
    assert result.stderr.count("Traceback") == 0, result.stderr
    took_s, *dropped = (float(word) for word in result.stdout.split())
    # One second each for two queues; a second more for a busy machine. No sink's own timeout is that short.
    assert took_s < 4
    assert dropped == [1000, 1000, 1000]


def test_what_was_logged_last_is_delivered_at_exit(receiver):
    text = """
    from byline.telemetry.sinks.datadog import DatadogLogs
    queue = EventQueue()
    queue.attach(FanOut([GeneralRoute(DatadogLogs("key", Source(), url=sys.argv[1]))]))
    queue.log_event("last", {"n": 1})
    """
    subprocess.run(program(text, receiver.url), check=True, timeout=60)
    assert [entry["message"] for body in receiver.bodies for entry in json.loads(body)] == ["last"]


def test_a_forked_child_sends_its_own_events_through_the_fan_out_and_not_its_parents(receiver):
    text = """
    from byline.telemetry.sinks.datadog import DatadogLogs
    queue = EventQueue()
    queue.attach(FanOut([GeneralRoute(DatadogLogs("key", Source(), url=sys.argv[1]), options=DeliveryOptions(interval_s=600))]))
    queue.log_event("parent", {})
    time.sleep(0.2)  # it is in the delivery's queue now, which waits for company
    child = os.fork()
    if child == 0:
        queue.log_event("child", {})
        queue.close(20)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    queue.close(20)
    """
    subprocess.run(program(text, receiver.url), check=True, timeout=60)
    assert [[entry["message"] for entry in json.loads(body)] for body in receiver.bodies] == [
        ["child"],
        ["parent"],
    ]


def test_a_child_of_multiprocessing_delivers_at_its_exit(receiver):
    text = """
    import multiprocessing
    from byline.telemetry.sinks.datadog import DatadogLogs
    queue = EventQueue()
    queue.attach(FanOut([GeneralRoute(DatadogLogs("key", Source(), url=sys.argv[1]))]))
    process = multiprocessing.get_context("fork").Process(target=queue.log_event, args=("child", {}))
    process.start(); process.join()
    """
    subprocess.run(program(text, receiver.url), check=True, timeout=60)
    assert [entry["message"] for body in receiver.bodies for entry in json.loads(body)] == ["child"]


@pytest.mark.parametrize("gateway", ["hangs", "is down"])
def test_kill_minus_nine_loses_no_first_party_event_that_was_on_disk(receiver, tmp_path, gateway):
    text = """
    from byline.telemetry.gateway_route import GatewayRoute
    from byline.telemetry.sinks.first_party import FirstParty
    from byline.telemetry.spool import Spool
    from pathlib import Path
    sink = FirstParty(GatewayRoute(sys.argv[1], "byl_x"), Source(), spool=Spool(Path(sys.argv[2])))
    queue = EventQueue(linger_s=0)
    queue.attach(FanOut([], FirstPartyRoute(sink, DeliveryOptions(interval_s=0.01))))
    for number in range(int(sys.argv[3]), int(sys.argv[3]) + 50):
        queue.log_event("step", {"n": number})
    queue.flush(1)
    print("logged", flush=True)
    if sys.argv[4] == "stay": time.sleep(3600)
    queue.close(20)
    """
    if gateway == "hangs":
        receiver.gate.clear()
    url = receiver.url if gateway == "hangs" else "http://127.0.0.1:9"
    with subprocess.Popen(program(text, url, str(tmp_path), "0", "stay"), stdout=subprocess.PIPE) as first:
        assert first.stdout is not None
        assert first.stdout.readline() == b"logged\n"
        deadline = time.monotonic() + 20
        while not (on_disk := numbers_on_disk(tmp_path)) and time.monotonic() < deadline:
            time.sleep(0.01)
        os.kill(first.pid, signal.SIGKILL)
    on_disk = numbers_on_disk(tmp_path)
    assert on_disk
    receiver.gate.set()
    subprocess.run(program(text, receiver.url, str(tmp_path), "1000", "end"), check=True, timeout=60)
    rows = [json.loads(line) for body in receiver.bodies for line in body.splitlines()]
    delivered = {row["metadata"]["n"] for row in rows}
    assert on_disk <= delivered
    assert set(range(1000, 1050)) <= delivered
    ids = {row["metadata"]["n"]: row["event_id"] for row in rows}
    assert all(ids[row["metadata"]["n"]] == row["event_id"] for row in rows)  # so a repeated row counts once
    assert list(tmp_path.rglob("*.ndjson")) == []


def numbers_on_disk(directory) -> set[int]:
    lines = [line for path in directory.rglob("*.ndjson") for line in path.read_text().splitlines()]
    return {json.loads(line)["metadata"]["n"] for line in lines}


def test_logging_loads_nothing_heavy_and_starts_no_thread():
    heavy = {
        "asyncio",
        "ssl",
        "http.client",
        "urllib.request",
        "datadog",
        "opentelemetry",
        "duckdb",
    }
    text = f"""
    before = set(sys.modules)
    from byline.telemetry.process import log_event
    log_event("a", {{"n": 1}})
    import _thread
    print(sorted({heavy!r} & (set(sys.modules) - before)), _thread._count())
    """
    code = "import sys\n" + textwrap.dedent(text)
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout == "[] 0\n"
