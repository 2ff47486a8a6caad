"""Asks a large ledger every report, each time in a fresh process, and times the answers.

What counts is one figure per report: from opening the store to the last row in Python, the file in the
page cache, the process cold; p95 of the samples. Also how fast rows go in on top of the others, and go
in again. Prints one JSON object; exits 1 if a report misses the limit.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from statistics import quantiles
from typing import Final
from uuid import UUID

import msgspec

from benchmarks.ledger_rows import BEGINNING, END, fill
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
    UsageQuery,
)
from byline.usage.record import UsageRecord

LIMIT_MS: Final = 1000.0
LIMIT_RSS_MB: Final = 1000.0
BATCH: Final = 5_000
WEEK: Final = END - timedelta(days=7)
_SINGLE: Final = ("user", "team", "job", "model", "provider", "day", "hour", "client", "outcome")


def usage(*by: str, since: datetime = BEGINNING, limit: int | None = None, zone: str = "UTC") -> UsageQuery:
    return UsageQuery(by=by, since=since, until=END, limit=limit, timezone=zone)


REPORTS: Final[dict[str, Report]] = {
    **{f"usage by {name}, 60 days": usage(name) for name in _SINGLE},
    "usage by session, 60 days, first 1000": usage("session", limit=1000),
    "usage by session, 7 days, first 1000": usage("session", limit=1000, since=WEEK),
    "usage by user,job, 60 days": usage("user", "job"),
    "usage by day,model, 60 days": usage("day", "model"),
    "usage by day in Europe/Berlin, 60 days": usage("day", zone="Europe/Berlin"),
    "usage by user,job, 7 days": usage("user", "job", since=WEEK),
    "coverage, 60 days": CoverageQuery(since=BEGINNING, until=END),
    "coverage by team, 60 days": CoverageQuery(since=BEGINNING, until=END, by=("team",)),
    "movers by user, week over week": MoversQuery(by=("user",), since=WEEK, until=END),
    "movers by job, month over month": MoversQuery(by=("job",), since=END - timedelta(days=30), until=END),
    "latency by model, 7 days": LatencyQuery(since=WEEK, until=END),
    "latency by model, 60 days": LatencyQuery(since=BEGINNING, until=END),
    "cache by model, 60 days": CacheQuery(since=BEGINNING, until=END),
    "cache by user, 60 days": CacheQuery(since=BEGINNING, until=END, by=("user",)),
    "errors by user, 60 days": ErrorsQuery(since=BEGINNING, until=END, by=("user",)),
    "incident, 30 minutes": IncidentQuery(since=END - timedelta(minutes=30), until=END),
    "requests, newest 50": RequestsQuery(since=END - timedelta(hours=1), until=END),
    "requests of a user, 60 days": RequestsQuery(since=BEGINNING, until=END, user="user1234"),
    "requests that failed, 60 days, newest 1000": RequestsQuery(
        since=BEGINNING, until=END, outcome="upstream_error", limit=1000
    ),
    "requests by identifier, 60 days": RequestsQuery(since=BEGINNING, until=END, identifier="act_1234"),
}


class Sample(msgspec.Struct, frozen=True):
    answer_ms: float
    cpu_ms: float
    """Of all threads: what stands even when others use the machine."""
    rows: int
    rss_mb: float


class Timing(msgspec.Struct, frozen=True):
    report: str
    p50_ms: float
    p95_ms: float
    cpu_ms: float
    rows: int
    rss_mb: float


class Ingest(msgspec.Struct, frozen=True):
    rows_per_s: float
    replayed_rows_per_s: float
    batch_p95_ms: float
    rss_mb: float


class Outcome(msgspec.Struct, frozen=True):
    rows: int
    file_mb: float
    fill_s: float
    samples: int
    reports: list[Timing]
    ingest: Ingest
    slowest_p95_ms: float
    within_limits: bool


def main() -> None:
    arguments = _arguments()
    if arguments.ask:
        print(msgspec.json.encode(_ask(arguments.store, REPORTS[arguments.ask])).decode())
        return
    with _store(arguments.store) as path:
        outcome = measure(path, arguments.rows, arguments.samples, arguments.only)
    print(msgspec.json.format(msgspec.json.encode(outcome)).decode())
    sys.exit(0 if outcome.within_limits else 1)


def measure(path: Path, rows: int, samples: int, only: str = "") -> Outcome:
    started = time.monotonic()
    if not path.exists():
        fill(path, rows, lambda share: _say(f"filling: {share:.0%}"))
    filled_s = time.monotonic() - started
    reports = [_timing(path, name, samples) for name in REPORTS if only in name]
    slowest = max(timing.p95_ms for timing in reports)
    largest = max(timing.rss_mb for timing in reports)
    return Outcome(
        rows=rows,
        file_mb=round(path.stat().st_size / 1e6, 1),
        fill_s=round(filled_s, 1),
        samples=samples,
        reports=reports,
        ingest=ingest(path),
        slowest_p95_ms=slowest,
        within_limits=slowest < LIMIT_MS and largest < LIMIT_RSS_MB,
    )


def _ask(path: Path, report: Report) -> Sample:
    started, cpu_started = time.perf_counter(), time.process_time()
    ledger = DuckDBLedger(DuckDBOptions(path=path))
    table = ledger.report(report)
    answer_ms = (time.perf_counter() - started) * 1000
    cpu_ms = (time.process_time() - cpu_started) * 1000
    ledger.close()
    return Sample(round(answer_ms, 1), round(cpu_ms, 1), len(table.rows), round(_rss_mb(), 1))


def _timing(path: Path, name: str, samples: int) -> Timing:
    found = [_sample(path, name) for _ in range(samples + 1)][1:]  # the first fills the page cache
    times = [sample.answer_ms for sample in found]
    p50, p95 = _percentile(times, 50), _percentile(times, 95)
    cpu = _percentile([sample.cpu_ms for sample in found], 50)
    _say(f"{name}: p50 {p50:,.0f} ms, p95 {p95:,.0f} ms, cpu {cpu:,.0f} ms, {found[0].rows:,} rows")
    return Timing(
        report=name,
        p50_ms=round(p50, 1),
        p95_ms=round(p95, 1),
        cpu_ms=round(cpu, 1),
        rows=found[0].rows,
        rss_mb=max(sample.rss_mb for sample in found),
    )


def _sample(path: Path, name: str) -> Sample:
    command = [sys.executable, "-m", "benchmarks.ledger", "--store", str(path), "--ask", name]
    answer = subprocess.run(command, capture_output=True, check=True)
    return msgspec.json.decode(answer.stdout, type=Sample)


def ingest(path: Path) -> Ingest:
    """Twenty batches of new rows as a drainer delivers them, then the same ones again."""
    ledger = DuckDBLedger(DuckDBOptions(path=path))
    run = os.urandom(4).hex()  # so that a ledger that is kept can take them each time
    batches = [_batch(run, number) for number in range(20)]
    first = [_timed(lambda batch=batch: ledger.insert_usage(batch)) for batch in batches]
    again = [_timed(lambda batch=batch: ledger.insert_usage(batch)) for batch in batches]
    ledger.close()
    return Ingest(
        rows_per_s=round(BATCH * len(batches) / sum(first)),
        replayed_rows_per_s=round(BATCH * len(batches) / sum(again)),
        batch_p95_ms=round(_percentile(first, 95) * 1000, 1),
        rss_mb=round(_rss_mb(), 1),
    )


def _batch(run: str, number: int) -> list[UsageRecord]:
    return [_record(run, number * BATCH + index) for index in range(BATCH)]


def _record(run: str, index: int) -> UsageRecord:
    started = END + timedelta(milliseconds=2 * index)
    return UsageRecord(
        request_id=f"{run}-{UUID(int=index)}", exchange_id=str(UUID(int=index)), started_at=started,
        ended_at=started + timedelta(seconds=3), duration_ms=3000.5, ttft_ms=600.1, overhead_us=31,
        provider="anthropic", api="messages", server_address="api.anthropic.com", credential="default",
        model_requested="model-1", model_reported="model-1-20260101", streaming=True, http_status=200,
        outcome="ok", finish_reason="end_turn", usage_complete=True, actor_id=f"act_{index % 2000}",
        key_id=f"key_{index % 2000}", auth_source="key", user=f"user{index % 2000}", team=f"team{index % 37}",
        job=f"job-{index % 5000}", identifier=f"act_{index % 2000}", identity_action="replaced",
        metadata_user_id=f"act_{index % 2000}", session_id=str(UUID(int=index // 13)),
        client="claude-cli/2.1.330", retry_count=0, input_tokens=42_000, input_uncached_tokens=1_000,
        cache_read_tokens=40_000, cache_write_tokens=1_000, output_tokens=700, service_tier="standard",
        cost_usd=Decimal("0.0292500"), cost_status="priced", price_version="2026-05-01",
        quota=msgspec.Raw(b'{"windows":{"requests":{"limit":4000,"remaining":3999}}}'),
        trace_id=f"{index:032x}", span_id=f"{index:016x}", trace_sampled=True,
        raw_usage=msgspec.Raw(b'{"input_tokens":1000,"cache_read_input_tokens":40000,"output_tokens":700}'),
    )  # fmt: skip


def _timed(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def _percentile(values: list[float], percent: int) -> float:
    return values[0] if len(values) == 1 else quantiles(values, n=100, method="inclusive")[percent - 1]


def _rss_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


@contextmanager
def _store(given: Path | None) -> Generator[Path]:
    if given:
        yield given
        return
    with tempfile.TemporaryDirectory(prefix="byline-bench-") as directory:
        yield Path(directory) / "ledger.duckdb"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000, help="rows in the ledger (default: 1,000,000)")
    parser.add_argument("--samples", type=int, default=20, help="fresh processes per report (default: 20)")
    parser.add_argument("--only", default="", help="reports whose name has this in it")
    parser.add_argument(
        "--store", type=Path, help="ledger to make, or to ask again, instead of a temporary one"
    )
    parser.add_argument("--ask", choices=REPORTS, help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    main()
