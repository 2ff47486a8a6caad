"""What DuckDB could do beyond answering, and must not for `byline sql`."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import pytest

from byline.stores.duckdb.connection import DuckDBOptions
from byline.stores.duckdb.ledger import DuckDBLedger
from byline.usage.ledger import ExportQuery, QueryError, SqlLimits
from byline.usage.record import UsageRecord

NOON = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)
SECRET = "s3cret-value"


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("ledger")


@pytest.fixture(scope="module")
def ledger(directory: Path) -> Iterator[DuckDBLedger]:
    (directory / "secret.csv").write_text(f"a,b\n{SECRET},2\n")
    ledger = DuckDBLedger(DuckDBOptions(path=directory / "ledger.duckdb"), privileged=["pii_email"])
    ledger.insert_usage(
        [
            UsageRecord(
                request_id="r",
                exchange_id="x",
                started_at=NOON,
                provider="anthropic",
                api="messages",
                user="ann",
            )
        ]
    )
    ledger.insert_events([{"event_id": "e", "event_name": "n", "occurred_at": NOON, "pii_email": SECRET}])
    yield ledger
    ledger.close()


ATTACKS = [
    "SELECT * FROM read_csv('{file}')",
    "SELECT * FROM read_csv_auto('{file}')",
    "SELECT * FROM read_text('{file}')",
    "SELECT * FROM read_blob('{file}')",
    "SELECT * FROM read_json('{file}')",
    "SELECT * FROM read_parquet('{file}')",
    "SELECT * FROM '{file}'",
    'SELECT * FROM "{file}"',
    "FROM '{file}'",
    "SELECT * FROM glob('/etc/*')",
    "SELECT * FROM read_csv('/etc/passwd')",
    "SELECT * FROM read_text('https://example.com/')",
    "SELECT * FROM sniff_csv('{file}')",
    "SELECT * FROM parquet_metadata('{file}')",
    "SELECT (SELECT content FROM read_text('{file}'))",
    "WITH a AS (SELECT * FROM read_csv('{file}')) SELECT * FROM a",
    'WITH "{file}" AS (SELECT 1) SELECT * FROM "{file}"',
    'SELECT 1 WHERE EXISTS (WITH "{file}" AS (SELECT 1) SELECT 1) UNION ALL SELECT count(*) FROM "{file}"',
    "SELECT getenv('HOME')",
    "COPY api_usage TO '{out}'",
    "COPY (SELECT 1) TO '{out}'",
    "COPY api_usage FROM '{file}'",
    "EXPORT DATABASE '{out}'",
    "IMPORT DATABASE '{out}'",
    "ATTACH '{out}' AS other",
    "DETACH ledger",
    "USE memory",
    "INSTALL httpfs",
    "LOAD httpfs",
    "PRAGMA database_list",
    "PRAGMA enable_external_access",
    "SET enable_external_access = true",
    "SET memory_limit = '100GB'",
    "RESET memory_limit",
    "SET SESSION schema = 'store'",
    "CALL pragma_version()",
    "CHECKPOINT",
    "VACUUM",
    "BEGIN",
    "COMMIT",
    "EXPLAIN ANALYZE DELETE FROM store.api_usage",
    "PREPARE p AS DELETE FROM store.api_usage",
    "EXECUTE p",
    "CREATE SECRET s (TYPE s3, KEY_ID 'a', SECRET 'b')",
    "CREATE MACRO m() AS TABLE SELECT * FROM store.api_events",
    "CREATE TEMP TABLE t AS SELECT 1",
    "INSERT INTO store.api_usage SELECT * FROM api_usage",
    "UPDATE store.api_usage SET user = 'x'",
    "DELETE FROM store.api_usage",
    "TRUNCATE store.api_usage",
    "DROP TABLE store.api_usage",
    "ALTER TABLE store.api_usage ADD COLUMN x INTEGER",
    "WITH a AS (INSERT INTO store.api_usage SELECT * FROM api_usage RETURNING 1) SELECT * FROM a",
    "WITH a AS (DELETE FROM store.api_usage RETURNING 1) SELECT * FROM a",
    "WITH a AS (UPDATE store.api_usage SET user = 'x' RETURNING 1) SELECT * FROM a",
    "SELECT 1; DELETE FROM store.api_usage",
    "SELECT * FROM store.api_events",
    "SELECT * FROM ledger.store.api_events",
    "SELECT pii_email FROM api_events",
    'SELECT * FROM "store"."api_events"',
    "WITH store AS (SELECT 1) SELECT * FROM store.api_events",
    "SELECT * FROM query('SELECT * FROM store.api_events')",
    "SELECT * FROM query_table('store.api_events')",
    "SELECT * FROM query_table(['api_usage', 'store.api_events'])",
    "SELECT * FROM json_execute_serialized_sql('{{}}')",
    "SELECT * FROM duckdb_settings()",
    "SELECT * FROM duckdb_secrets()",
    "SELECT * FROM duckdb_logs",
    "SELECT * FROM duckdb_views()",
    "SELECT * FROM information_schema.tables",
    "SELECT * FROM pg_catalog.pg_tables",
    "SELECT * FROM sqlite_master",
    "SELECT * FROM pragma_storage_info('store.api_events')",
    "DESCRIBE store.api_events",
    "SUMMARIZE store.api_events",
    "SHOW ALL TABLES",
]


@pytest.mark.parametrize("attack", ATTACKS)
def test_what_reaches_beyond_the_general_views_is_refused(
    ledger: DuckDBLedger, directory: Path, attack: str
) -> None:
    text = attack.format(file=directory / "secret.csv", out=directory / "out")
    with pytest.raises(QueryError) as refused:
        ledger.sql(text, SqlLimits())
    assert SECRET not in str(refused.value)
    assert not (directory / "out").exists()
    assert ledger.sql("SELECT count(*), min(user) FROM api_usage", SqlLimits()).rows == [(1, "ann")]


def test_files_in_the_outbox_are_out_of_reach_too(ledger: DuckDBLedger) -> None:
    """The one directory that DuckDB itself may open holds exports of what people may see anyway."""
    path = ledger.export(ExportQuery(since=NOON))
    for text in (f"SELECT * FROM '{path}'", f"SELECT * FROM read_parquet('{path}')"):
        with pytest.raises(QueryError, match=r"no table|not allowed"):
            ledger.sql(text, SqlLimits())
    path.unlink()


def test_without_the_first_wall_the_others_hold(ledger: DuckDBLedger, directory: Path) -> None:
    """DuckDB itself refuses files, settings and writes, whatever the check of the statement missed."""
    cursor = ledger._database.cursor()  # pyright: ignore[reportPrivateUsage]
    for text in (
        f"SELECT * FROM read_text('{directory / 'secret.csv'}')",
        f"COPY (SELECT 1) TO '{directory / 'out'}'",
        f"ATTACH '{directory / 'out'}'",
        "SET enable_external_access = true",
        "INSTALL httpfs",
    ):
        with pytest.raises(duckdb.Error):
            cursor.execute(text)
    cursor.execute("BEGIN TRANSACTION READ ONLY")
    with pytest.raises(duckdb.TransactionException):
        cursor.execute("DELETE FROM store.api_usage")
    cursor.close()


def test_describe_shows_the_general_columns(ledger: DuckDBLedger) -> None:
    columns = [row[0] for row in ledger.sql("DESCRIBE api_events", SqlLimits()).rows]
    assert "event_name" in columns
    assert "pii_email" not in columns


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("[1, 2]", "[1,2]"),
        ("{'a': 1.5::DOUBLE}", '{"a":1.5}'),
        ("'\\xAA'::BLOB", "aa"),
        ("DATE '2026-03-10'", "2026-03-10"),
        ("TIME '10:00:01'", "10:00:01"),
        ("TIMESTAMP '2026-03-10 12:00:00'", NOON),
        ("TIMESTAMPTZ '2026-03-10 13:00:00+01'", NOON),
        ("INTERVAL 1 DAY", "1 day, 0:00:00"),
        ("'nan'::DOUBLE", None),
        ("1::HUGEINT << 100", 2**100),
        ("'00000000-0000-0000-0000-000000000001'::UUID", "00000000-0000-0000-0000-000000000001"),
    ],
)
def test_values_of_every_type_become_plain_ones(ledger: DuckDBLedger, expression: str, value: object) -> None:
    assert ledger.sql(f"SELECT {expression}", SqlLimits()).rows == [(value,)]
