"""`kill -9` of a process that writes a journal, and of one that drains it, at random moments.

`BYLINE_CRASH_ROUNDS` and `BYLINE_CRASH_SEED` make it longer or repeat a run.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from byline.usage.journal import Drained, drain_all
from byline.usage.journal.segments import list_segments
from byline.usage.record import UsageRecord

ROUNDS = int(os.environ.get("BYLINE_CRASH_ROUNDS", "8"))
SEED = int(os.environ.get("BYLINE_CRASH_SEED", "20261101"))

WRITER = """
import asyncio, os, random, sys
from datetime import UTC, datetime
from pathlib import Path
from byline.usage.journal import JournalOptions, JournalWriter, new_writer_id
from byline.usage.record import UsageRecord

directory, seen, seed = Path(sys.argv[1]), os.open(sys.argv[2], os.O_WRONLY | os.O_APPEND | os.O_CREAT), sys.argv[3]
chance = random.Random(seed)

async def main():
    loop = asyncio.get_running_loop()
    writer = JournalWriter(directory, new_writer_id("w"), call_soon=loop.call_soon, call_later=loop.call_later,
        options=JournalOptions(segment_bytes=chance.choice([2_000, 20_000, 1_000_000]), sync_interval_s=0.005))

    def request(number):
        row = UsageRecord(request_id=f"{seed}-{number}", exchange_id="x", started_at=datetime.now(UTC),
            provider="anthropic", api="messages", user="ada", metadata_user_id="m" * chance.randrange(2_000))
        def send():
            os.write(seen, f"{row.request_id}\\n".encode())
            loop.call_later(chance.choice([0, 0, 0.001, 0.05, 5]), end)
        def end():
            row.outcome, row.output_tokens, row.ended_at = "ok", number, datetime.now(UTC)
            writer.append_end(row)
        writer.append_start(row, send)

    number = 0
    os.write(1, b"ready\\n")
    while True:
        for _ in range(chance.randrange(20)):
            request(number)
            number += 1
        await asyncio.sleep(chance.choice([0, 0.001, 0.003]))

asyncio.run(main())
"""

DRAINER = """
import os, sys, time
from pathlib import Path
from byline.usage.journal import Drainer, DrainOptions

kept = os.open(sys.argv[2], os.O_WRONLY | os.O_APPEND | os.O_CREAT)

def deliver(rows, events):
    os.write(kept, "".join(f"{row.request_id} {row.outcome} {row.output_tokens}\\n" for row in rows).encode())

drainer = Drainer(Path(sys.argv[1]), deliver, options=DrainOptions(max_rows=50, max_refused=0))
os.write(1, b"ready\\n")
while True:
    time.sleep(min(drainer.step(), 0.002))
    if drainer.last_error is not None:
        raise drainer.last_error
"""


class Process:
    """Runs a script until it is killed."""

    def __init__(self, script: str, *arguments: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", script, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        assert self._process.stdout is not None
        if self._process.stdout.readline() != b"ready\n":
            _, errors = self._process.communicate()
            pytest.fail(errors.decode())

    def kill(self) -> None:
        self._process.send_signal(signal.SIGKILL)
        _, errors = self._process.communicate()
        assert self._process.returncode == -signal.SIGKILL, errors.decode()

    def clean(self) -> None:
        if self._process.returncode is None:
            self._process.kill()
            self._process.communicate()


Run = Callable[..., Process]


@pytest.fixture
def run() -> Iterator[Run]:
    started: list[Process] = []

    def start(script: str, *arguments: str) -> Process:
        started.append(Process(script, *arguments))
        return started[-1]

    yield start
    for process in started:
        process.clean()


class Books:
    """What a ledger would hold."""

    def __init__(self) -> None:
        self.outcomes: dict[str, tuple[str, int | None]] = {}
        self.deliveries: Counter[str] = Counter()

    def enter(self, request_id: str, outcome: str, tokens: int | None) -> None:
        self.deliveries[request_id] += 1
        if self.outcomes.get(request_id, ("interrupted",))[0] == "interrupted":
            self.outcomes[request_id] = (outcome, tokens)

    def deliver(self, rows: list[UsageRecord], _events: list[dict[str, object]]) -> None:
        for row in rows:
            self.enter(row.request_id, row.outcome, row.output_tokens)

    def enter_file(self, path: Path) -> None:
        for line in path.read_text().splitlines() if path.exists() else []:
            request_id, outcome, tokens = line.split()
            self.enter(request_id, outcome, None if tokens == "None" else int(tokens))


def read_seen(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


def check(books: Books, seen: list[str], journal: Path) -> None:
    assert len(seen) == len(set(seen))
    missing = set(seen) - books.outcomes.keys()
    assert not missing, f"{len(missing)} attempts that were sent have no row"
    for request_id, (outcome, tokens) in books.outcomes.items():
        if outcome == "ok":
            assert request_id.endswith(f"-{tokens}")
        else:
            assert outcome == "interrupted"
    unsent = books.outcomes.keys() - set(seen)
    assert all(books.outcomes[request_id][0] == "interrupted" for request_id in unsent)
    assert list_segments(journal) == {}


def said(name: str, rounds: int, books: Books, seen: list[str]) -> None:
    outcomes = Counter(outcome for outcome, _ in books.outcomes.values())
    print(
        f"{name}: rounds={rounds} seed={SEED} sent={len(seen)} rows={len(books.outcomes)} "
        f"ok={outcomes['ok']} interrupted={outcomes['interrupted']} "
        f"never_sent={len(books.outcomes.keys() - set(seen))} "
        f"repeated={sum(books.deliveries.values()) - len(books.outcomes)} lost=0"
    )


def test_a_killed_writer_loses_nothing_that_was_sent(tmp_path: Path, run: Run) -> None:
    chance, books, journal = random.Random(SEED), Books(), tmp_path / "journal"
    drained: list[Drained] = []
    for turn in range(ROUNDS):
        writer = run(WRITER, str(journal), str(tmp_path / "seen"), f"{SEED}.{turn}")
        time.sleep(chance.random() * 0.15)  # the moment of the kill
        writer.kill()
        drained.append(drain_all(tmp_path, books.deliver))
    seen = read_seen(tmp_path / "seen")
    check(books, seen, journal)
    assert max(books.deliveries.values()) == 1
    assert len(seen) > 10 * ROUNDS
    said("writer killed", ROUNDS, books, seen)


def test_killed_writers_and_drainers_lose_nothing_together(tmp_path: Path, run: Run) -> None:
    chance, books, journal = random.Random(SEED + 1), Books(), tmp_path / "journal"
    kept = tmp_path / "kept"
    for turn in range(ROUNDS):
        writer = run(WRITER, str(journal), str(tmp_path / "seen"), f"{SEED}.{turn}")
        for _ in range(chance.randrange(1, 3)):
            drainer = run(DRAINER, str(journal), str(kept))
            time.sleep(chance.random() * 0.1)  # the moment of the kill
            drainer.kill()
        writer.kill()
    books.enter_file(kept)
    drain_all(tmp_path, books.deliver)
    seen = read_seen(tmp_path / "seen")
    check(books, seen, journal)
    said("writer and drainer killed", ROUNDS, books, seen)


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs /proc")
def test_a_closed_writer_holds_no_file(tmp_path: Path) -> None:
    script = """
import os, sys
from pathlib import Path
from byline.usage.journal import JournalOptions, JournalWriter
ready = []
before = set(os.listdir("/proc/self/fd"))
for number in range(3):
    writer = JournalWriter(Path(sys.argv[1]), f"w{number}", call_soon=ready.append, call_later=print,
        options=JournalOptions(segment_bytes=1))
    for event in range(20):
        writer.append_event({"event_id": str(event)})
        while ready: ready.pop()()
    writer.close()
assert set(os.listdir("/proc/self/fd")) == before
"""
    subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=True)
