"""One suite, run against every engine that can be opened here."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from byline.stores.duckdb.connection import DuckDBOptions
from byline.stores.duckdb.ledger import DuckDBLedger
from byline.usage.columns import USAGE_COLUMNS
from byline.usage.ledger import Ledger, RequestsQuery
from byline.usage.record import UsageRecord

NOON = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)


def open_duckdb(directory: Path) -> Ledger:
    return DuckDBLedger(
        DuckDBOptions(path=directory / "ledger.duckdb"), privileged=["pii_email"], now=lambda: NOON
    )


ENGINES: dict[str, Callable[[Path], Ledger]] = {"duckdb": open_duckdb}


@pytest.fixture(params=sorted(ENGINES))
def open_ledger(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[[], Ledger]]:
    """Opens the same store each time; what is still open at the end is closed."""
    opened: list[Ledger] = []

    def open_it() -> Ledger:
        opened.append(ENGINES[request.param](tmp_path))
        return opened[-1]

    yield open_it
    for ledger in opened:
        ledger.close()


@pytest.fixture
def ledger(open_ledger: Callable[[], Ledger]) -> Ledger:
    return open_ledger()


@pytest.fixture
def record() -> Callable[..., UsageRecord]:
    """A finished row; each further one a second later."""
    made: list[UsageRecord] = []

    def make(**fields: Any) -> UsageRecord:
        number = len(made)
        values: dict[str, Any] = {
            "request_id": f"r{number}",
            "exchange_id": f"x{number}",
            "started_at": NOON - timedelta(hours=1) + timedelta(seconds=number),
            "provider": "anthropic",
            "api": "messages",
            "outcome": "ok",
        }
        made.append(UsageRecord(**{**values, **fields}))
        return made[-1]

    return make


@pytest.fixture
def rows(ledger: Ledger) -> Callable[..., list[dict[str, Any]]]:
    """The rows of the last day, JSON columns decoded as they were put in."""

    def read(**filters: Any) -> list[dict[str, Any]]:
        query = RequestsQuery(since=NOON - timedelta(days=1), **{"limit": 10_000, **filters})
        return [_decoded(row) for row in ledger.requests(query).dicts()]

    return read


def _decoded(row: dict[str, Any]) -> dict[str, Any]:
    return {
        name: msgspec.json.decode(value) if USAGE_COLUMNS[name] == "json" and value else value
        for name, value in row.items()
    }
