"""Batches into tables: one transaction each, idempotent by id, without an index.

An index over ten million ids would take a gigabyte of memory. A row's id always comes with the same
time, so a batch is compared only with stored rows of its own stretch of time, which zone maps find.
Rows travel as one parameter, a list of JSON texts: with external access off there is no file to read,
one text for all is parsed half as fast, and row-wise inserts are a hundred times slower.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import duckdb
import msgspec

from byline.stores.duckdb.dialect import TYPES, quoted
from byline.usage.columns import Kind

CHUNK: Final = 5_000
"""Rows per parameter: some megabytes."""


_encode = msgspec.json.Encoder().encode


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """A table that batches go into."""

    table: str
    key: str
    time: str
    columns: Mapping[str, Kind]
    defaults: Mapping[str, object] = {}
    """What an absent column means."""
    replaceable: str | None = None
    """Condition under which a stored row gives way to a new one that does not meet it."""


def insert(connection: duckdb.DuckDBPyConnection, target: Target, rows: Sequence[object]) -> int:
    """Commits, durably, before it returns how many rows were inserted. `rows` hold each key once."""
    connection.begin()
    try:
        _load(connection, target, rows)
        _drop_known(connection, target)
        inserted = _move(connection, target)
    except BaseException:
        connection.rollback()
        raise
    connection.commit()
    return inserted


def _load(connection: duckdb.DuckDBPyConnection, target: Target, rows: Sequence[object]) -> None:
    """Fills the temporary table `batch`. A value that is not of its column's type becomes NULL."""
    declared = ", ".join(f"{quoted(name)} {TYPES[kind]}" for name, kind in target.columns.items())
    connection.execute(f"CREATE OR REPLACE TEMP TABLE batch ({declared})")
    structure = _encode({name: TYPES[kind] for name, kind in target.columns.items()}).decode()
    selected = ", ".join(_selected(name, target) for name in target.columns)
    statement = (
        f"INSERT INTO batch SELECT {selected} "  # noqa: S608 - names of ours
        "FROM (SELECT from_json(line, $structure) AS r FROM unnest($lines::VARCHAR[]) AS lines(line))"
    )
    for start in range(0, len(rows), CHUNK):
        lines = [_encode(row).decode() for row in rows[start : start + CHUNK]]
        connection.execute(statement, {"lines": lines, "structure": structure})


def _selected(name: str, target: Target) -> str:
    if name not in target.defaults:
        return f"r.{quoted(name)}"
    default = msgspec.json.encode(target.defaults[name]).decode().replace('"', "'")
    return f"coalesce(r.{quoted(name)}, {default})"


def _drop_known(connection: duckdb.DuckDBPyConnection, target: Target) -> None:
    """Takes stored replaceable rows out of the table, and rows that are stored already out of the batch."""
    key, time = quoted(target.key), quoted(target.time)
    bounds = connection.execute(
        f"SELECT min({time}), max({time}), count(*) = count({time}) FROM batch"  # noqa: S608
    ).fetchone()
    assert bounds
    earliest, latest, all_timed = bounds
    within = f"{time} BETWEEN $earliest AND $latest AND" if all_timed else ""
    window = {"earliest": earliest, "latest": latest} if all_timed else {}
    if target.replaceable:
        connection.execute(
            f"DELETE FROM {target.table} WHERE {within} {target.replaceable} "  # noqa: S608
            f"AND {key} IN (SELECT {key} FROM batch WHERE NOT ({target.replaceable}))",
            window,
        )
    connection.execute(
        f"DELETE FROM batch WHERE {key} IN (SELECT {key} FROM {target.table} "  # noqa: S608
        f"WHERE {within} {key} IN (SELECT {key} FROM batch))",
        window,
    )


def _move(connection: duckdb.DuckDBPyConnection, target: Target) -> int:
    columns = ", ".join(quoted(name) for name in target.columns)
    row = connection.execute(
        f"INSERT INTO {target.table} ({columns}) SELECT {columns} FROM batch ORDER BY {quoted(target.time)}"  # noqa: S608
    ).fetchone()
    assert row
    return int(row[0])
