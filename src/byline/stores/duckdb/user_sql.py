"""Runs a checked SELECT within bounds of time, rows and bytes."""

from __future__ import annotations

import math
import threading
from collections.abc import Generator
from contextlib import contextmanager
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

import duckdb
import msgspec

from byline.stores.duckdb.connection import query_errors
from byline.stores.duckdb.sandbox import check
from byline.usage.ledger import QueryError, QueryTimeout, SqlLimits, Table

_FETCH: Final = 2_048
"""DuckDB's vector size: asking for less at a time saves nothing."""


def run(cursor: duckdb.DuckDBPyConnection, text: str, limits: SqlLimits) -> Table:
    """Raises QueryError with DuckDB's message, QueryTimeout when the time is over. Closes the cursor."""
    with query_errors(), _interrupted_after(cursor, limits.timeout_s):
        check(cursor, text)
        cursor.execute("BEGIN TRANSACTION READ ONLY")
        cursor.execute(text)
        columns = tuple(str(column[0]) for column in cursor.description or ())
        return Table(columns, _fetch(cursor, limits))


@contextmanager
def _interrupted_after(cursor: duckdb.DuckDBPyConnection, timeout_s: float) -> Generator[None]:
    timer = threading.Timer(timeout_s, cursor.interrupt)
    timer.daemon = True
    timer.start()
    try:
        yield
    except duckdb.InterruptException as error:
        raise QueryTimeout(
            f"stopped after {timeout_s:g} s: narrow the query, or raise ledger.sql_timeout"
        ) from error
    finally:
        timer.cancel()
        cursor.close()


def _fetch(cursor: duckdb.DuckDBPyConnection, limits: SqlLimits) -> list[tuple[Any, ...]]:
    rows: list[tuple[Any, ...]] = []
    size = 0
    while batch := cursor.fetchmany(_FETCH):
        for row in batch:
            plain_row = tuple(map(plain, row))
            size += sum(len(cell) if type(cell) is str else 8 for cell in plain_row)
            rows.append(plain_row)
        if len(rows) > limits.max_rows:
            raise QueryError(f"more than {limits.max_rows:,} rows: add a LIMIT, or use byline export")
        if size > limits.max_bytes:
            raise QueryError(f"more than {limits.max_bytes:,} bytes: select less, or use byline export")
    return rows


def plain(value: Any) -> Any:
    """A value of DuckDB's as one that a Table may hold."""
    match value:
        case None | bool() | int() | str() | Decimal():
            return value
        case float():
            return value if math.isfinite(value) else None
        case datetime():
            return value.astimezone(UTC) if value.tzinfo else value.replace(tzinfo=UTC)
        case date() | time():
            return value.isoformat()
        case timedelta() | UUID():
            return str(value)
        case bytes():
            return value.hex()
        case _:
            return msgspec.json.encode(value, enc_hook=str).decode()
