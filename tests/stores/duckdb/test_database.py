"""Opening, full disks and migrations of the DuckDB file."""

from __future__ import annotations

import resource
import stat
import threading
from collections.abc import Generator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import pytest

from byline.stores.duckdb import connection, schema
from byline.stores.duckdb.connection import DuckDBOptions, connect
from byline.stores.duckdb.ledger import DuckDBLedger
from byline.usage.ledger import ExportQuery, LedgerUnavailable, RequestsQuery, SqlLimits
from byline.usage.record import UsageRecord

NOON = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)


@pytest.fixture
def options(tmp_path: Path) -> DuckDBOptions:
    return DuckDBOptions(path=tmp_path / "ledger.duckdb")


def batch(name: str, size: int = 2000) -> list[UsageRecord]:
    return [
        UsageRecord(
            request_id=f"{name}{n}",
            exchange_id="x",
            started_at=NOON,
            provider="p",
            api="messages",
            user=f"u{n}",
        )
        for n in range(size)
    ]


def count(ledger: DuckDBLedger) -> int:
    return ledger.sql("SELECT count(*) FROM api_usage", SqlLimits()).rows[0][0]


def insert_on_and_on(ledger: DuckDBLedger, first: list[UsageRecord]) -> None:
    ledger.insert_usage(first)
    for number in range(50):
        ledger.insert_usage(batch(f"c{number}-"))


@contextmanager
def files_no_larger_than(size: int) -> Generator[None]:
    """Writes beyond that fail, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("size", [1_000, 200_000])
def test_a_full_disk_loses_nothing_and_is_got_over(options: DuckDBOptions, size: int) -> None:
    """Both a failed commit and a failed checkpoint, after which DuckDB wants to be opened anew."""
    ledger = DuckDBLedger(options)
    ledger.insert_usage(batch("a"))
    lost = batch("b")
    with files_no_larger_than(size), pytest.raises(LedgerUnavailable):
        insert_on_and_on(ledger, lost)
    ledger.insert_usage(lost)
    whole = count(ledger)
    assert whole % 2000 == 0
    assert ledger.insert_usage(lost) == 0
    assert len(ledger.requests(RequestsQuery(since=NOON, limit=10)).rows) == 10
    ledger.close()
    reopened = DuckDBLedger(options)
    assert count(reopened) == whole
    reopened.close()


def test_questions_get_over_it_too(options: DuckDBOptions) -> None:
    ledger = DuckDBLedger(options)
    ledger.insert_usage(batch("a"))
    with files_no_larger_than(1_000), pytest.raises(LedgerUnavailable):
        ledger.insert_usage(batch("b", 20_000))
    assert count(ledger) == 2000
    ledger.close()


def test_a_closed_ledger_says_so(options: DuckDBOptions) -> None:
    ledger = DuckDBLedger(options)
    ledger.close()
    with pytest.raises(LedgerUnavailable):
        ledger.requests(RequestsQuery(since=NOON))
    with pytest.raises(LedgerUnavailable, match="closed"):
        ledger.insert_usage(batch("a", 1))


def test_only_the_owner_may_read_the_file(options: DuckDBOptions) -> None:
    DuckDBLedger(options).close()
    assert stat.S_IMODE(options.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(options.outbox.stat().st_mode) == 0o700


def test_what_is_no_database_is_named(options: DuckDBOptions) -> None:
    options.path.write_text("not a database, but long enough to be read as one\n" * 1000)
    with pytest.raises(LedgerUnavailable, match=r"ledger\.duckdb"):
        DuckDBLedger(options)


def test_exports_that_nobody_fetched_go_at_the_next_start(options: DuckDBOptions) -> None:
    ledger = DuckDBLedger(options)
    left = ledger.export(ExportQuery(since=NOON))
    ledger.close()
    assert left.exists()
    DuckDBLedger(options).close()
    assert not left.exists()


def test_a_newer_store_is_refused_with_the_remedy(options: DuckDBOptions) -> None:
    DuckDBLedger(options).close()
    with duckdb.connect(str(options.path)) as newer:
        newer.execute("INSERT INTO store.migrations VALUES (99, now())").fetchall()
    with pytest.raises(LedgerUnavailable, match=r"newer Byline \(schema 99.*upgrade"):
        DuckDBLedger(options)


def test_migrations_run_once_each_in_order_and_views_follow(options: DuckDBOptions) -> None:
    DuckDBLedger(options).close()
    runs: list[str] = []

    def add_colour(connection: duckdb.DuckDBPyConnection) -> None:
        runs.append("colour")
        connection.execute(f"ALTER TABLE {schema.USAGE_TABLE} ADD COLUMN colour VARCHAR")

    def fail(connection: duckdb.DuckDBPyConnection) -> None:
        connection.execute(f"ALTER TABLE {schema.USAGE_TABLE} ADD COLUMN half VARCHAR")
        raise RuntimeError("interrupted")

    connection = connect(options)
    with pytest.raises(RuntimeError, match="interrupted"):
        schema.migrate(connection, (), (*schema.MIGRATIONS, add_colour, fail))
    assert schema.current_version(connection) == len(schema.MIGRATIONS) + 1
    schema.migrate(connection, (), (*schema.MIGRATIONS, add_colour))
    assert runs == ["colour"]
    columns = schema.columns_of(connection, "main.api_usage")
    assert "colour" in columns
    assert "half" not in columns
    connection.close()


def test_privileged_columns_can_be_added_later(options: DuckDBOptions) -> None:
    DuckDBLedger(options).close()
    ledger = DuckDBLedger(options, privileged=["pii_email"])
    ledger.insert_events([{"event_id": "e", "pii_email": "a@example.com"}])
    ledger.close()
    with duckdb.connect(str(options.path)) as store:
        assert store.execute("SELECT pii_email FROM store.api_events").fetchall() == [("a@example.com",)]
        assert "pii_email" not in schema.columns_of(store, "main.api_events")


def test_readers_are_answered_while_a_checkpoint_is_written(
    options: DuckDBOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DuckDB rests in the middle of the checkpoint here: between writing rows and putting them in place."""
    configured = connection._config
    resting = {"debug_checkpoint_scan_sleep_ms": 1_500}
    monkeypatch.setattr(connection, "_config", lambda options: configured(options) | resting)
    ledger = DuckDBLedger(options)
    ledger.insert_usage(batch("a"))
    begins, done = threading.Event(), threading.Event()

    def checkpoint() -> None:
        with ledger._database.writing() as writing:
            begins.set()
            writing.execute("CHECKPOINT")
        done.set()

    thread = threading.Thread(target=checkpoint)
    thread.start()
    begins.wait()
    answers: list[int] = []
    while not done.is_set():
        answers.append(count(ledger))
    thread.join()
    ledger.close()
    # One more may have waited for the end of the checkpoint; all of them, if it kept readers out.
    assert len(answers) > 2
    assert set(answers) == {2000}


def test_a_ledger_that_is_up_to_date_is_opened_without_writing_to_it(options: DuckDBOptions) -> None:
    DuckDBLedger(options).close()
    before = options.path.read_bytes()
    DuckDBLedger(options).close()
    assert options.path.read_bytes() == before


@pytest.mark.parametrize("spoilt", ["SELECT request_id FROM store.api_usage", "SELECT 1 AS one"])
def test_a_view_with_other_columns_than_its_table_is_made_anew(options: DuckDBOptions, spoilt: str) -> None:
    DuckDBLedger(options).close()
    with duckdb.connect(str(options.path)) as raw:
        raw.execute(f"CREATE OR REPLACE VIEW main.api_usage AS {spoilt}")
        raw.execute("DROP VIEW main.api_events")
    ledger = DuckDBLedger(options)
    ledger.insert_usage(batch("a", 3))
    assert len(ledger.requests(RequestsQuery(since=NOON)).rows) == 3
    assert ledger.sql("SELECT count(*) FROM api_events", SqlLimits()).rows == [(0,)]
    ledger.close()
