"""Tables, views and their versions.

The tables stand in the schema `store`; people and reports see the views of the same names, which leave
privileged columns out. Migrations only go forward: each is one transaction.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

import duckdb

from byline.stores.duckdb.dialect import TYPES, quoted
from byline.usage.columns import (
    DAILY_GROUPS,
    DAILY_SUMS,
    EVENT_COLUMNS,
    MONEY_PLACES,
    PRIVILEGED_PREFIX,
    USAGE_COLUMNS,
    Kind,
)
from byline.usage.ledger import LedgerUnavailable

USAGE_TABLE: Final = "store.api_usage"
EVENTS_TABLE: Final = "store.api_events"
DAILY_TABLE: Final = "store.api_usage_daily"
"""Sums of rows past retention; `started_at` is the noon of their day, which is that day in most zones."""
_SUM_TYPES: Final[dict[Kind, str]] = {"count": "BIGINT", "money": f"DECIMAL(38, {MONEY_PLACES})"}
_REQUIRED: Final = ("request_id", "started_at", "event_id")


def _create_tables(connection: duckdb.DuckDBPyConnection) -> None:
    connection.execute(f"CREATE TABLE {USAGE_TABLE} ({_declared(USAGE_COLUMNS, _REQUIRED)})")
    # `request_id` of an event names the request it is about, which may be none.
    connection.execute(f"CREATE TABLE {EVENTS_TABLE} ({_declared(EVENT_COLUMNS, ('event_id',))})")


def _create_daily_sums(connection: duckdb.DuckDBPyConnection) -> None:
    groups = ", ".join(f"{quoted(name)} {TYPES[USAGE_COLUMNS[name]]}" for name in DAILY_GROUPS)
    sums = ", ".join(f"{quoted(name)} {_SUM_TYPES[USAGE_COLUMNS[name]]}" for name in DAILY_SUMS)
    connection.execute(
        f"CREATE TABLE {DAILY_TABLE} (started_at TIMESTAMPTZ NOT NULL, attempts BIGINT NOT NULL, {groups}, {sums})"
    )


MIGRATIONS: Final[tuple[Callable[[duckdb.DuckDBPyConnection], None], ...]] = (
    _create_tables,
    _create_daily_sums,
)
"""Migration n takes the store from version n to n + 1. Append; never edit one that was released."""


def migrate(
    connection: duckdb.DuckDBPyConnection,
    privileged: Sequence[str] = (),
    migrations: Sequence[Callable[[duckdb.DuckDBPyConnection], None]] = MIGRATIONS,
) -> None:
    """Brings the store to the newest version. Raises LedgerUnavailable for one that is newer still."""
    connection.execute("CREATE SCHEMA IF NOT EXISTS store")
    connection.execute(
        "CREATE TABLE IF NOT EXISTS store.migrations (version INTEGER, applied_at TIMESTAMPTZ)"
    )
    version = current_version(connection)
    if version > len(migrations):
        raise LedgerUnavailable(
            f"the ledger was written by a newer Byline (schema {version}, this one knows {len(migrations)}): "
            "upgrade, or point data_dir elsewhere"
        )
    for number, migration in enumerate(migrations[version:], start=version + 1):
        _apply(connection, number, migration)
    _add_privileged(connection, privileged)
    _create_views(connection)


def current_version(connection: duckdb.DuckDBPyConnection) -> int:
    row = connection.execute("SELECT coalesce(max(version), 0) FROM store.migrations").fetchone()
    assert row
    return int(row[0])


def columns_of(connection: duckdb.DuckDBPyConnection, table: str) -> list[str]:
    """In their order; empty if there is no such table. The catalogue's own table of them takes 20 ms."""
    try:
        connection.execute(f"SELECT * FROM {table} LIMIT 0")  # noqa: S608 - names of ours
    except (duckdb.CatalogException, duckdb.BinderException):
        return []  # not there, or a view of columns that have changed
    described = [str(column[0]) for column in connection.description or ()]
    connection.fetchall()
    return described


def _apply(
    connection: duckdb.DuckDBPyConnection,
    number: int,
    migration: Callable[[duckdb.DuckDBPyConnection], None],
) -> None:
    connection.begin()
    try:
        migration(connection)
        connection.execute("INSERT INTO store.migrations VALUES ($number, now())", {"number": number})
    except BaseException:
        connection.rollback()
        raise
    connection.commit()


def _add_privileged(connection: duckdb.DuckDBPyConnection, names: Sequence[str]) -> None:
    for name in names:
        if not name.startswith(PRIVILEGED_PREFIX):
            raise ValueError(f"privileged column {name!r} must begin with {PRIVILEGED_PREFIX!r}")
        connection.execute(f"ALTER TABLE {EVENTS_TABLE} ADD COLUMN IF NOT EXISTS {quoted(name)} VARCHAR")


def _create_views(connection: duckdb.DuckDBPyConnection) -> None:
    """Where a view has its table's columns already, it stays: opening a ledger need not write to it."""
    for table in (USAGE_TABLE, EVENTS_TABLE, DAILY_TABLE):
        view = f"main.{table.removeprefix('store.')}"
        general = [name for name in columns_of(connection, table) if not name.startswith(PRIVILEGED_PREFIX)]
        if columns_of(connection, view) != general:
            selected = ", ".join(quoted(name) for name in general)
            connection.execute(f"CREATE OR REPLACE VIEW {view} AS SELECT {selected} FROM {table}")  # noqa: S608 - names of ours


def _declared(columns: Mapping[str, Kind], required: Sequence[str]) -> str:
    return ", ".join(
        f"{quoted(name)} {TYPES[kind]}{' NOT NULL' if name in required else ''}"
        for name, kind in columns.items()
    )
