"""The ledger as commands get it: through its process, or opened by themselves."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from byline.assembly.data_dir import open_data_dir
from byline.assembly.ledger import open_ledger
from byline.settings import Settings, load
from byline.usage.data_lock import DataLock
from byline.usage.journal import entries
from byline.usage.ledger import LedgerUnavailable, RequestsQuery
from byline.usage.record import UsageRecord

HOUR_AGO = datetime.now(UTC) - timedelta(hours=1)
SINCE = HOUR_AGO - timedelta(hours=1)
SERVE = """
import os
from byline.assembly.ledger import run_ledger
from byline.settings import load
run_ledger(load(None, os.environ), ready=lambda: print("ready", flush=True))
"""


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.chdir(tmp_path)
    return load(None, {})


@pytest.fixture
def serve() -> Iterator[Callable[[], subprocess.Popen[str]]]:
    """Starts a ledger process in the present directory."""
    started: list[subprocess.Popen[str]] = []

    def start() -> subprocess.Popen[str]:
        process = subprocess.Popen([sys.executable, "-c", SERVE], stdout=subprocess.PIPE, text=True)
        started.append(process)
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
        return process

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
        process.wait()
        assert process.stdout
        process.stdout.close()


def journaled(settings: Settings, name: str, **fields: Any) -> None:
    """One finished row in the journal of a writer that is gone."""
    record = UsageRecord(
        request_id=name, exchange_id=name, started_at=HOUR_AGO, provider="anthropic", api="messages", outcome="ok",
        **fields,
    )  # fmt: skip
    line = bytearray()
    entries.encode(line, entries.END, record)
    directory = open_data_dir(settings).journal
    directory.mkdir(exist_ok=True)
    (directory / f"{name}-00000001.ndjson").write_bytes(line)


def ids(settings: Settings) -> list[str]:
    ledger = open_ledger(settings)
    try:
        return sorted(row["request_id"] for row in ledger.requests(RequestsQuery(since=SINCE)).dicts())
    finally:
        ledger.close()


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.05)


def test_without_a_server_the_journal_is_drained_and_priced_first(settings: Settings) -> None:
    journaled(
        settings, "w1", model_reported="claude-sonnet-4-5", input_uncached_tokens=100_000, output_tokens=0
    )
    ledger = open_ledger(settings)
    (row,) = ledger.requests(RequestsQuery(since=SINCE)).dicts()
    ledger.close()
    assert (row["cost_usd"], row["cost_status"]) == (Decimal("0.3"), "priced")
    assert not list(open_data_dir(settings).journal.glob("*.ndjson"))
    assert ids(settings) == ["w1"]


def test_with_a_server_rows_come_in_by_themselves(
    settings: Settings, serve: Callable[[], subprocess.Popen[str]]
) -> None:
    serve()
    assert ids(settings) == []
    journaled(settings, "w1")
    wait_for(lambda: ids(settings) == ["w1"])


def test_a_server_that_is_asked_to_stop_drains_first(
    settings: Settings, serve: Callable[[], subprocess.Popen[str]]
) -> None:
    process = serve()
    for number in range(20):
        journaled(settings, f"w{number}")
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 0
    assert not list(open_data_dir(settings).journal.glob("*.ndjson"))
    assert not open_data_dir(settings).socket.exists()
    assert len(ids(settings)) == 20


def test_a_server_killed_outright_loses_nothing(
    settings: Settings, serve: Callable[[], subprocess.Popen[str]]
) -> None:
    process = serve()
    for number in range(50):
        journaled(settings, f"w{number:02}")
        if number == 25:
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
    assert len(ids(settings)) == 50
    serve()
    assert len(ids(settings)) == 50


def test_two_commands_without_a_server_take_turns(settings: Settings) -> None:
    first = open_ledger(settings)
    with pytest.raises(LedgerUnavailable, match="in use by a byline command"):
        open_ledger(settings, wait_s=0)
    first.close()
    open_ledger(settings, wait_s=0).close()


def test_while_a_server_starts_commands_wait_and_then_say_who_has_the_directory(settings: Settings) -> None:
    lock = DataLock(open_data_dir(settings).root / "lock", "byline serve")
    try:
        with pytest.raises(LedgerUnavailable, match=rf"byline serve \(pid {os.getpid()}\)"):
            open_ledger(settings, wait_s=0.1)
    finally:
        lock.close()


def test_a_lock_ends_with_its_holder(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    held = "import sys, time; from pathlib import Path; from byline.usage.data_lock import DataLock"
    code = f"{held}; DataLock(Path({str(path)!r}), 'somebody'); print('held', flush=True); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout
        holder.stdout.readline()
        with pytest.raises(LedgerUnavailable, match="somebody"):
            DataLock(path, "me")
        holder.kill()
    DataLock(path, "me").close()
