"""The ledger process's own loop, in a thread, against a real store."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from byline.stores.duckdb.connection import DuckDBOptions
from byline.stores.duckdb.ledger import DuckDBLedger
from byline.usage import ledger_process
from byline.usage.ledger import LedgerUnavailable, SqlLimits
from byline.usage.ledger_socket.client import LedgerClient
from byline.usage.record import UsageRecord

NOW = datetime.now(UTC)


def row(name: str, age: timedelta) -> UsageRecord:
    return UsageRecord(
        request_id=name,
        exchange_id=name,
        started_at=NOW - age,
        provider="p",
        api="messages",
        outcome="ok",
        user="ann",
    )


class Retiring(DuckDBLedger):
    """Says when a round of retention is over."""

    retired = threading.Event()

    def retire(self, before: datetime) -> int:
        count = super().retire(before)
        self.retired.set()
        return count


def test_rows_past_retention_become_sums_and_people_can_be_forgotten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger_process, "_RETIREMENT_INTERVAL_S", 0.01)
    ledger = Retiring(DuckDBOptions(path=tmp_path / "ledger.duckdb"))
    ledger.insert_usage([row("old", timedelta(days=40)), row("new", timedelta(hours=1))])
    stop, ready = threading.Event(), threading.Event()
    process = threading.Thread(
        target=ledger_process.run,
        args=(ledger,),
        kwargs={
            "journal": tmp_path / "journal", "socket": tmp_path / "ledger.sock", "retention_s": 30 * 86_400.0,
            "stop": stop, "ready": ready.set,
        },
    )  # fmt: skip
    process.start()
    try:
        assert ready.wait(20)
        assert Retiring.retired.wait(20)
        client = LedgerClient(tmp_path / "ledger.sock")
        assert client.sql("SELECT request_id FROM api_usage", SqlLimits()).rows == [("new",)]
        assert client.sql("SELECT attempts, user FROM api_usage_daily", SqlLimits()).rows == [(1, "ann")]
        assert client.forget("ann", "forgotten") == 1
        assert client.sql("SELECT user FROM api_usage", SqlLimits()).rows == [("forgotten",)]
    finally:
        stop.set()
        process.join()
    with pytest.raises(LedgerUnavailable):
        LedgerClient(tmp_path / "ledger.sock", wait_s=0).sql("SELECT 1", SqlLimits())
