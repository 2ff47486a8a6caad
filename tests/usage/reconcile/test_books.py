from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from byline.apis.api import Iteration
from byline.stores.duckdb.connection import DuckDBOptions
from byline.stores.duckdb.ledger import DuckDBLedger
from byline.usage.ledger import QueryError
from byline.usage.reconcile import books
from byline.usage.record import UsageRecord

TENTH = datetime(2026, 11, 10, tzinfo=UTC)
ELEVENTH, TWELFTH = TENTH + timedelta(days=1), TENTH + timedelta(days=2)


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[DuckDBLedger]:
    ledger = DuckDBLedger(DuckDBOptions(path=tmp_path / "ledger.duckdb"))
    yield ledger
    ledger.close()


def insert(ledger: DuckDBLedger, *rows: dict[str, Any]) -> None:
    common: dict[str, Any] = {
        "exchange_id": "e", "provider": "anthropic", "api": "messages", "outcome": "ok", "started_at": TENTH,
        "credential": "default", "model_reported": "claude-sonnet-4-5-20250929", "input_tokens": 10, "output_tokens": 1,
        "cost_usd": Decimal("0.5"), "cost_status": "priced", "usage_complete": True,
    }  # fmt: skip
    ledger.insert_usage([UsageRecord(request_id=f"r{n}", **common | row) for n, row in enumerate(rows)])


def test_rows_are_summed_by_utc_day_and_undated_model(ledger: DuckDBLedger) -> None:
    insert(
        ledger,
        {"cache_read_tokens": 4, "cache_write_tokens": 2},
        {"started_at": ELEVENTH - timedelta(microseconds=1), "model_reported": "claude-sonnet-4-5"},
        {
            "started_at": ELEVENTH,
            "outcome": "client_disconnect",
            "usage_complete": False,
            "cost_status": "partial",
        },
        {"started_at": TWELFTH},
    )
    book = books.read(ledger, "anthropic", TENTH, TWELFTH)
    assert [(day.isoformat() if day else None, model) for day, model in sorted(book)] == [
        ("2026-11-10", "claude-sonnet-4-5"),
        ("2026-11-11", "claude-sonnet-4-5"),
    ]
    tenth, eleventh = (book[key] for key in sorted(book))
    assert (tenth.requests, tenth.tokens, tenth.cache_read_tokens, tenth.cost_usd) == (2, 22, 4, Decimal(1))
    assert (tenth.incomplete, tenth.unpriced) == (0, 0)
    assert (eleventh.incomplete, eleventh.unpriced) == (1, 1)


def test_refused_rows_other_providers_and_clients_own_credentials_are_left_out(ledger: DuckDBLedger) -> None:
    insert(
        ledger,
        {"outcome": "rejected"},
        {"provider": "openai"},
        {"credential": "client"},
        {"api": "count_tokens"},
        {"credential": None},
    )
    (figures,) = books.read(ledger, "anthropic", TENTH, TWELFTH).values()
    assert figures.requests == 1


def test_iterations_beyond_the_totals_count_for_their_own_model(ledger: DuckDBLedger) -> None:
    insert(
        ledger,
        {
            "iterations": [
                Iteration(type="message", input_uncached_tokens=10, output_tokens=1, in_totals=True),
                Iteration(type="compaction", input_uncached_tokens=5, cache_read_tokens=100, output_tokens=7),
                Iteration(
                    type="advisor_message", model="claude-opus-4-7", input_uncached_tokens=3, output_tokens=9
                ),
            ]
        },
        {
            "iterations": [
                Iteration(type="message", input_uncached_tokens=10, output_tokens=1, in_totals=True)
            ]
        },
    )
    book = books.read(ledger, "anthropic", TENTH, TWELFTH)
    assert {model: figures.tokens for (_, model), figures in book.items()} == {
        "claude-sonnet-4-5": 22 + 112,
        "claude-opus-4-7": 12,
    }
    assert book[TENTH.date(), "claude-sonnet-4-5"].requests == 2


def test_a_providers_name_can_not_carry_sql(ledger: DuckDBLedger) -> None:
    with pytest.raises(QueryError):
        books.read(ledger, "x' OR '1'='1", TENTH, TWELFTH)
