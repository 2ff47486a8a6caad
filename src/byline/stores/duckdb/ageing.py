"""Retention: rows of whole days become daily sums and go, a day a transaction.

DuckDB adds up and deletes; nothing is loaded, and memory is one day's groups. A row that comes after its
day was folded is folded with the next run. Should a row that was folded be delivered once more, it
counts twice: the journal repeats itself within seconds, retention is months.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

import duckdb

from byline.stores.duckdb.dialect import quoted
from byline.stores.duckdb.schema import DAILY_TABLE, EVENTS_TABLE, USAGE_TABLE
from byline.usage.columns import DAILY_GROUPS, DAILY_SUMS

_DAY: Final = timedelta(days=1)


def aged_until(connection: duckdb.DuckDBPyConnection) -> datetime | None:
    """Where the daily sums end; None if there are none."""
    row = connection.execute(f"SELECT epoch(max(started_at)) FROM {DAILY_TABLE}").fetchone()  # noqa: S608
    return _midnight(datetime.fromtimestamp(row[0], UTC)) + _DAY if row and row[0] is not None else None


def oldest_day(connection: duckdb.DuckDBPyConnection, before: datetime) -> datetime | None:
    """The first day that has rows and was over at the day of `before`."""
    row = connection.execute(f"SELECT epoch(min(started_at)) FROM {USAGE_TABLE}").fetchone()  # noqa: S608
    if not row or row[0] is None:
        return None
    day = _midnight(datetime.fromtimestamp(row[0], UTC))
    return day if day < _midnight(before.astimezone(UTC)) else None


def fold(connection: duckdb.DuckDBPyConnection, day: datetime) -> int:
    """Commits the sums of a day in place of its rows; returns how many these were."""
    groups = ", ".join(map(quoted, DAILY_GROUPS))
    sums = ", ".join(f"sum({quoted(name)})" for name in DAILY_SUMS)
    columns = ", ".join(map(quoted, ("started_at", "attempts", *DAILY_GROUPS, *DAILY_SUMS)))
    within = {"start": day, "end": day + _DAY}
    connection.begin()
    try:
        connection.execute(
            f"INSERT INTO {DAILY_TABLE} ({columns}) SELECT $noon, count(*), {groups}, {sums} "  # noqa: S608
            f"FROM {USAGE_TABLE} WHERE started_at >= $start AND started_at < $end GROUP BY {groups}",
            {**within, "noon": day + _DAY / 2},
        )
        row = connection.execute(
            f"DELETE FROM {USAGE_TABLE} WHERE started_at >= $start AND started_at < $end",  # noqa: S608
            within,
        ).fetchone()
    except BaseException:
        connection.rollback()
        raise
    connection.commit()
    return int(row[0]) if row else 0


def drop_events(connection: duckdb.DuckDBPyConnection, before: datetime) -> None:
    connection.execute(
        f"DELETE FROM {EVENTS_TABLE} WHERE coalesce(occurred_at, received_at) < $end",  # noqa: S608
        {"end": _midnight(before.astimezone(UTC))},
    ).fetchall()


def _midnight(time: datetime) -> datetime:
    return time.replace(hour=0, minute=0, second=0, microsecond=0)
