"""What a feature read costs: known, unknown, after a cold start, and while the server does its worst.

    .venv/bin/python -m benchmarks.flags

Exits 1 where a bound is missed. Under the hostile server reads are timed one by one, beside the same reads
without any server: on a busy machine the scheduler alone makes some reads slow, and these are told apart.
"""

from __future__ import annotations

import json
import logging
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import NamedTuple

from byline.flags.client import FeatureClient, FeatureOptions
from byline.flags.disk import DiskSnapshot
from byline.flags.snapshot import Evaluated, Snapshot
from byline.flags.sources.growthbook_api import GrowthBookApi
from byline.flags.sources.http import HttpOptions
from byline.flags.sources.source import Fetched

FEATURES = 300
HOSTILE_S = 20.0
VALUES = (True, "blue", 3, 1.5, False)
INTERVAL_S = 5.0
SLOW_NS = 10_000
SLOW_SHARE = 0.0001


def snapshot() -> dict[str, Evaluated]:
    return {f"feature_{number}": Evaluated(VALUES[number % len(VALUES)]) for number in range(FEATURES)}


def payload() -> bytes:
    features = {
        name: {
            "defaultValue": each.value,
            "rules": [
                {"condition": {"team": "core", "n": {"$gt": 3}}, "force": each.value},
                {"key": name, "variations": [each.value, each.value], "coverage": 0.5},
            ],
        }
        for name, each in snapshot().items()
    }
    return json.dumps({"features": features}).encode()


def loaded() -> FeatureClient:
    client = FeatureClient(None)
    client.fetched(Fetched(snapshot()), client.fetching())
    return client


def median_us(read: Callable[[], object], count: int = 100_000, rounds: int = 9) -> float:
    """Of rounds, each the mean of many reads, the loop's own cost included."""
    means: list[float] = []
    for _ in range(rounds):
        began = time.perf_counter()
        for _ in range(count):
            read()
        means.append((time.perf_counter() - began) / count * 1e6)
    return statistics.median(means)


def cold_start_ms(directory: Path, rounds: int = 200) -> float:
    times: list[float] = []
    for _ in range(rounds):
        began = time.perf_counter()
        FeatureClient(None, disk=DiskSnapshot(directory, "bench")).value("feature_1", "")
        times.append((time.perf_counter() - began) * 1e3)
    return statistics.median(times)


class Hostile(ThreadingHTTPServer):
    """Answers one good payload, then hangs, errs, lies or closes streams, by turns."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _HostileHandler)
        self.requests = 0
        self.good = payload()

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients give up on it: that is the point."""


class _HostileHandler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        server = self.server
        assert isinstance(server, Hostile)
        server.requests += 1
        number, streams = server.requests, self.path.startswith("/sub/")
        if number % 5 == 2 and not streams:
            time.sleep(30)
        self.send_response(500 if number % 5 == 3 and not streams else 200)
        self.send_header("content-type", "text/event-stream" if streams else "application/json")
        self.end_headers()
        if streams:
            for _ in range(number % 3):
                self.wfile.write(b"event: features\ndata: " + server.good + b"\n\n")
        else:
            self.wfile.write(server.good if number % 5 else b'{"features": {"feature_1": []}}')

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """Nobody reads it."""


def be_hostile() -> None:
    """In a process of its own, so that its work is not taken for the client's."""
    server = Hostile()
    print(server.server_port, flush=True)
    server.serve_forever()


class Reads(NamedTuple):
    slow: int
    waited: int
    """Of the slow ones, those in which the thread gave up its core: it waited for another of its process.
    The others are the machine's: a core taken away for another process or another guest.
    """
    total: int
    longest_ms: float


def timed_reads(client: FeatureClient, duration_s: float) -> Reads:
    read, clock = client.value, time.perf_counter_ns
    slow = waited = total = longest = 0
    given_up = resource.getrusage(resource.RUSAGE_THREAD).ru_nvcsw
    until = time.monotonic() + duration_s
    while time.monotonic() < until:
        for _ in range(10_000):
            began = clock()
            read("feature_1", "")
            took = clock() - began
            if took >= SLOW_NS:
                slow += 1
                longest = max(longest, took)
                before, given_up = given_up, resource.getrusage(resource.RUSAGE_THREAD).ru_nvcsw
                waited += given_up > before
        total += 10_000
    return Reads(slow, waited, total, longest / 1e6)


def hostile_reads(interval_s: float) -> tuple[Reads, int]:
    """With how many requests were sent."""
    command = [sys.executable, "-c", "from benchmarks.flags import be_hostile; be_hostile()"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as server:
        assert server.stdout is not None
        url = f"http://127.0.0.1:{int(server.stdout.readline())}"
        http = HttpOptions(0.5)
        source = GrowthBookApi(url, "k", {"id": "u", "team": "x"}, streaming=True, options=http)
        client = FeatureClient(source, FeatureOptions(poll_interval_s=interval_s, http=http))
        client.start()
        time.sleep(1.0)  # its first import of the evaluator is no part of the question
        found = timed_reads(client, HOSTILE_S)
        client.close()
        server.kill()
    return found, client.refresher.requests


def main() -> int:
    logging.disable(logging.WARNING)
    client = loaded()
    value = client.value
    with tempfile.TemporaryDirectory() as name:
        DiskSnapshot(Path(name), "bench").save(Snapshot(time.time(), snapshot()))
        rows = [
            ("known, us", median_us(lambda: value("feature_1", "")), 0.3),
            ("unknown, us", median_us(lambda: value("nope", "")), 0.5),
            (f"cold start with {FEATURES} features, ms", cold_start_ms(Path(name)), 1.0),
        ]
    for label, found, bound in rows:
        print(f"{label:<40} {found:8.3f}   bound {bound}")
    alone = timed_reads(client, HOSTILE_S)
    hostile, requests = hostile_reads(INTERVAL_S)
    for label, reads in (("no server at all", alone), ("hostile server", hostile)):
        print(
            f"{label + ': reads under 10 us':<40} {1 - reads.slow / reads.total:8.4%}, "
            f"{1 - reads.waited / reads.total:8.4%} but for what the machine took; "
            f"longest {reads.longest_ms:.1f} ms of {reads.total}"
        )
    print(f"requests to the hostile server in {HOSTILE_S + 1:.0f} s: {requests}")
    missed = hostile.waited / hostile.total > SLOW_SHARE
    return int(any(found > bound for _, found, bound in rows) or missed)


if __name__ == "__main__":
    sys.exit(main())
