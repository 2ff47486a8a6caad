"""Reads rows for pricing and writes their costs back, in stretches of time.

Rows lie in the order of time, so a stretch touches only its own blocks, and the memory needed is one
batch's, however many rows there are.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import pairwise
from typing import Any, Final

import duckdb
import msgspec

from byline.apis.api import Iteration
from byline.stores.duckdb.connection import query_errors
from byline.stores.duckdb.dialect import TYPES, quoted
from byline.stores.duckdb.schema import USAGE_TABLE
from byline.usage.columns import USAGE_COLUMNS
from byline.usage.ledger import RepriceQuery
from byline.usage.record import UsageRecord

BATCH: Final = 10_000
NEEDED: Final = (
    "request_id", "exchange_id", "started_at", "provider", "api", "server_address", "outcome",
    "model_requested", "model_reported", "input_uncached_tokens", "cache_read_tokens", "cache_write_tokens",
    "cache_write_5m_tokens", "cache_write_1h_tokens", "output_tokens", "reasoning_tokens",
    "web_search_requests", "iterations", "service_tier", "speed", "inference_geo", "raw_usage",
    "cost_usd", "cost_status", "price_version",
)  # fmt: skip
WRITTEN: Final = ("request_id", "started_at", "cost_usd", "cost_status", "price_version")
_iterations = msgspec.json.Decoder(list[Iteration])


def rows(
    cursor: duckdb.DuckDBPyConnection, query: RepriceQuery, now: datetime
) -> Iterator[Sequence[UsageRecord]]:
    """Closes the cursor at the end."""
    condition, values = _condition(query, now)
    selected = ", ".join(quoted(name) for name in NEEDED)
    statement = (
        f"SELECT {selected} FROM {USAGE_TABLE} "  # noqa: S608 - names of ours, values are bound
        f"WHERE {condition} AND started_at >= $start AND started_at < $end"
    )
    try:
        with query_errors():
            for start, end in pairwise(_stretches(cursor, condition, values)):
                found = cursor.execute(statement, {**values, "start": start, "end": end}).fetchall()
                yield [_record(row) for row in found]
    finally:
        cursor.close()


def update(connection: duckdb.DuckDBPyConnection, changed: Sequence[UsageRecord]) -> int:
    """Commits before it returns how many rows were written."""
    types = {name: TYPES[USAGE_COLUMNS[name]] for name in WRITTEN}
    costs = [{name: getattr(row, name) for name in WRITTEN} for row in changed]
    written = ", ".join(f"{name} = c.r.{name}" for name in WRITTEN[2:])
    row = connection.execute(
        f"UPDATE {USAGE_TABLE} AS u SET {written} "  # noqa: S608 - names of ours, values are bound
        "FROM (SELECT unnest(from_json($costs, $types)) AS r) AS c "
        "WHERE u.request_id = c.r.request_id AND u.started_at BETWEEN $earliest AND $latest",
        {
            "costs": msgspec.json.encode(costs).decode(),
            "types": msgspec.json.encode([types]).decode(),
            "earliest": min(row.started_at for row in changed),
            "latest": max(row.started_at for row in changed),
        },
    ).fetchone()
    assert row
    return int(row[0])


def _condition(query: RepriceQuery, now: datetime) -> tuple[str, dict[str, Any]]:
    values: dict[str, Any] = {"since": query.since, "until": query.until or now}
    condition = "started_at >= $since AND started_at < $until AND outcome <> 'rejected'"
    if query.only:
        condition += " AND list_contains($only, cost_status)"
        values["only"] = list(query.only)
    return condition, values


def _stretches(cursor: duckdb.DuckDBPyConnection, condition: str, values: dict[str, Any]) -> list[datetime]:
    """Times between which a batch's worth of rows lies each; the last is the end of the window."""
    starts = cursor.execute(
        f"SELECT DISTINCT started_at FROM (SELECT started_at, row_number() OVER (ORDER BY started_at) AS n "  # noqa: S608
        f"FROM {USAGE_TABLE} WHERE {condition}) WHERE n % {BATCH} = 1 ORDER BY started_at",
        values,
    ).fetchall()
    return [*(start for (start,) in starts), values["until"]] if starts else []


def _record(row: tuple[Any, ...]) -> UsageRecord:
    found = {name: value for name, value in zip(NEEDED, row, strict=True) if value is not None}
    if "iterations" in found:
        found["iterations"] = _iterations.decode(found["iterations"])
    if "raw_usage" in found:
        found["raw_usage"] = msgspec.Raw(found["raw_usage"].encode())
    return UsageRecord(**found)
