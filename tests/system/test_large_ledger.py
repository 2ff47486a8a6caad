"""The short form of `make bench-ledger`: a million rows, every report once. Speed is judged by the long form only.

What must come out is added up from the rows as they are drawn, by other SQL than the reports'.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmarks.ledger import BATCH, REPORTS, ingest
from benchmarks.ledger_rows import BEGINNING, END, Facts, facts, fill
from byline.stores.duckdb.connection import DuckDBOptions
from byline.stores.duckdb.ledger import DuckDBLedger
from byline.usage.ledger import (
    CacheQuery,
    CoverageQuery,
    ErrorsQuery,
    IncidentQuery,
    LatencyQuery,
    MoversQuery,
    Report,
    RequestsQuery,
    SqlLimits,
    UsageQuery,
)

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
ROWS = 1_000_000
SUMMED = (
    "requests", "rejected", "input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens", "cost_usd",
)  # fmt: skip
Rows = list[dict[str, Any]]


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("large") / "ledger.duckdb"
    fill(path, ROWS, lambda _share: None)
    return path


@pytest.fixture(scope="module")
def ledger(path: Path) -> Iterator[DuckDBLedger]:
    ledger = DuckDBLedger(DuckDBOptions(path=path))
    yield ledger
    ledger.close()


@pytest.fixture(scope="module")
def known() -> Facts:
    return facts(ROWS)


def total(rows: Rows, name: str) -> Any:
    return sum(row[name] for row in rows if row[name] is not None)


def whole(query: Any) -> bool:
    return query.since == BEGINNING and getattr(query, "limit", None) is None


def holds_for_usage(query: UsageQuery, rows: Rows, known: Facts) -> None:
    if whole(query):
        assert {name: total(rows, name) for name in SUMMED} == {name: getattr(known, name) for name in SUMMED}
    else:
        assert 0 < total(rows, "requests") < known.requests
    assert len({tuple(row[name] for name in query.by) for row in rows}) == len(rows)
    assert query.limit is None or len(rows) == query.limit


def holds_for_coverage(query: CoverageQuery, rows: Rows, known: Facts) -> None:
    assert total(rows, "requests") == known.requests
    assert total(rows, "requests_with_user") == known.with_user
    assert total(rows, "requests_with_job") == known.with_job
    assert total(rows, "tokens") == known.input_tokens + known.output_tokens


def holds_for_cache(query: CacheQuery, rows: Rows, known: Facts) -> None:
    names = ("requests", "input_tokens", "cache_read_tokens", "cache_write_tokens")
    assert {name: total(rows, name) for name in names} == {name: getattr(known, name) for name in names}


def holds_for_errors(query: ErrorsQuery, rows: Rows, known: Facts) -> None:
    assert total(rows, "requests") == known.not_ok


def holds_for_latency(query: LatencyQuery, rows: Rows, known: Facts) -> None:
    assert total(rows, "requests") == known.ok if whole(query) else 0 < total(rows, "requests") < known.ok
    for row in rows:
        # The generator spreads answers evenly from 200 ms to 12 s, a fifth of it before the first byte.
        assert row["duration_p50_ms"] == pytest.approx(200 + 10_000 / 1.7, rel=0.05)
        assert row["duration_p99_ms"] == pytest.approx(200 + 19_800 / 1.7, rel=0.05)
        assert row["ttft_p50_ms"] == pytest.approx(row["duration_p50_ms"] / 5, rel=0.011)


def holds_for_movers(query: MoversQuery, rows: Rows, known: Facts) -> None:
    changes = [abs(row["cost_change_usd"]) for row in rows]
    assert len(rows) == query.limit
    assert changes == sorted(changes, reverse=True)


def holds_for_incident(query: IncidentQuery, rows: Rows, known: Facts) -> None:
    tokens = [row["tokens"] for row in rows]
    assert len(rows) == query.limit
    assert tokens == sorted(tokens, reverse=True)
    assert tokens[0] > 0


def holds_for_requests(query: RequestsQuery, rows: Rows, known: Facts) -> None:
    times = [row["started_at"] for row in rows]
    assert len(rows) == query.limit
    assert times == sorted(times, reverse=True)
    assert all(query.since <= time < END for time in times)
    for name in ("user", "identifier", "outcome"):
        assert {row[name] for row in rows} == {getattr(query, name)} or getattr(query, name) is None


HOLDS: dict[type[Any], Callable[[Any, Rows, Facts], None]] = {
    UsageQuery: holds_for_usage,
    CoverageQuery: holds_for_coverage,
    CacheQuery: holds_for_cache,
    ErrorsQuery: holds_for_errors,
    LatencyQuery: holds_for_latency,
    MoversQuery: holds_for_movers,
    IncidentQuery: holds_for_incident,
    RequestsQuery: holds_for_requests,
}


@pytest.mark.parametrize("name", REPORTS)
def test_a_report_over_a_million_rows_says_what_was_put_in(
    ledger: DuckDBLedger, known: Facts, name: str
) -> None:
    report: Report = REPORTS[name]
    started, cpu_started = time.perf_counter(), time.process_time()
    rows = ledger.report(report).dicts()
    wall_ms, cpu_ms = (time.perf_counter() - started) * 1e3, (time.process_time() - cpu_started) * 1e3
    print(f"{name}: {wall_ms:.0f} ms, {cpu_ms:.0f} ms of CPU, {len(rows):,} rows")
    HOLDS[type(report)](report, rows, known)


def test_the_generator_gives_as_many_rows_as_asked_for(ledger: DuckDBLedger, known: Facts) -> None:
    assert ledger.sql("SELECT count(*) FROM api_usage", SqlLimits()).rows == [(ROWS,)]
    assert known.requests + known.rejected == ROWS == known.ok + known.not_ok


def test_rows_go_in_on_top_of_a_million_once_however_often_they_come(path: Path, tmp_path: Path) -> None:
    copy = tmp_path / "ledger.duckdb"
    copy.write_bytes(path.read_bytes())
    print(ingest(copy))
    ledger = DuckDBLedger(DuckDBOptions(path=copy))
    assert ledger.sql("SELECT count(*), count(DISTINCT request_id) FROM api_usage", SqlLimits()).rows == [
        (ROWS + 20 * BATCH, ROWS + 20 * BATCH)
    ]
    ledger.close()
