"""Against a real embedded ledger: what is read, what is written back, and what is left alone."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from byline.apis.api import Iteration
from byline.stores.duckdb import repricing
from byline.stores.duckdb.connection import DuckDBOptions
from byline.stores.duckdb.ledger import DuckDBLedger
from byline.usage.ledger import RepriceQuery, SqlLimits
from byline.usage.prices import overrides
from byline.usage.prices.book import PriceBook
from byline.usage.prices.catalogue import Catalogue
from byline.usage.prices.cost import price
from byline.usage.prices.reprice import reprice
from byline.usage.record import UsageRecord

NOON = datetime(2026, 11, 10, 12, tzinfo=UTC)
LAST_DAY = RepriceQuery(since=NOON - timedelta(days=1), until=NOON)


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[DuckDBLedger]:
    ledger = DuckDBLedger(DuckDBOptions(path=tmp_path / "ledger.duckdb"), now=lambda: NOON)
    yield ledger
    ledger.close()


def row(number: int, **fields: Any) -> UsageRecord:
    known: dict[str, Any] = {
        "request_id": f"r{number}",
        "exchange_id": f"e{number}",
        "started_at": NOON - timedelta(hours=2) + timedelta(seconds=number),
        "provider": "anthropic",
        "api": "messages",
        "outcome": "ok",
        "model_reported": "claude-new",
        "input_uncached_tokens": 1000,
        "output_tokens": 100,
    }
    return UsageRecord(**known | fields)


def stored(ledger: DuckDBLedger) -> dict[str, tuple[Decimal | None, str | None, str | None]]:
    table = ledger.sql("SELECT request_id, cost_usd, cost_status, price_version FROM api_usage", SqlLimits())
    return {request_id: tuple(rest) for request_id, *rest in table.rows}


@pytest.fixture
def with_new_model(catalogue: Catalogue) -> PriceBook:
    return PriceBook(
        catalogue, overrides.read({"anthropic/claude-new": {"input_per_mtok": 3, "output_per_mtok": 15}})
    )


def test_a_model_that_has_a_price_now_gets_its_cost(
    ledger: DuckDBLedger, book: PriceBook, with_new_model: PriceBook
) -> None:
    rows = [
        row(1),
        row(2, model_reported="claude-opus-5"),
        row(3, outcome="rejected", input_uncached_tokens=None),
    ]
    for unpriced in rows:
        price(unpriced, book)
    ledger.insert_usage(rows)
    assert stored(ledger)["r1"] == (None, "unknown_model", book.version)

    answer = reprice(ledger, with_new_model, LAST_DAY).dicts()

    after = stored(ledger)
    assert after["r1"] == (Decimal("0.0045"), "priced", with_new_model.version)
    assert after["r2"] == (Decimal("0.0075"), "priced", book.version), "unchanged rows keep their version"
    assert after["r3"] == (None, None, None)
    assert [(line["model"], line["rows"], line["changed"], line["cost_after_usd"]) for line in answer] == [
        ("claude-new", 1, 1, Decimal("0.0045")),
        ("claude-opus-5", 1, 0, Decimal("0.0075")),
    ]


def test_only_the_statuses_and_the_window_asked_for_are_looked_at(
    ledger: DuckDBLedger, with_new_model: PriceBook
) -> None:
    ledger.insert_usage(
        [
            row(1, cost_status="unknown_model"),
            row(2, cost_status="partial"),
            row(3, cost_status="unknown_model", started_at=NOON - timedelta(days=2)),
        ]
    )
    query = RepriceQuery(since=NOON - timedelta(days=1), only=("unknown_model",))
    reprice(ledger, with_new_model, query)
    costs = {request_id: cost for request_id, (cost, _, _) in stored(ledger).items()}
    assert costs == {"r1": Decimal("0.0045"), "r2": None, "r3": None}


def test_every_column_a_cost_follows_from_comes_back_from_the_store(
    ledger: DuckDBLedger, book: PriceBook
) -> None:
    rich = row(
        1,
        model_reported="claude-opus-5-5",
        speed="fast",
        inference_geo="us",
        cache_read_tokens=500,
        cache_write_tokens=300,
        cache_write_5m_tokens=200,
        cache_write_1h_tokens=100,
        reasoning_tokens=7,
        web_search_requests=2,
        iterations=[
            Iteration(type="compaction", model="claude-haiku-4-5", input_uncached_tokens=9, output_tokens=9)
        ],
    )
    european = row(
        2,
        provider="openai",
        model_reported="gpt-6.1-sol",
        service_tier="flex",
        server_address="eu.api.openai.com",
    )
    ledger.insert_usage([rich, european])
    reprice(ledger, book, LAST_DAY)
    for expected in (rich, european):
        price(expected, book)
        assert stored(ledger)[expected.request_id] == (expected.cost_usd, "priced", book.version)


def test_a_dry_run_answers_the_same_and_writes_nothing(
    ledger: DuckDBLedger, with_new_model: PriceBook
) -> None:
    ledger.insert_usage([row(1)])
    rehearsed = reprice(ledger, with_new_model, LAST_DAY, dry_run=True)
    assert stored(ledger)["r1"] == (None, None, None)
    assert reprice(ledger, with_new_model, LAST_DAY) == rehearsed


def test_many_rows_pass_in_batches_each_row_once(
    ledger: DuckDBLedger, with_new_model: PriceBook, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(repricing, "BATCH", 10)
    same_moment = [row(number, started_at=NOON - timedelta(hours=1)) for number in range(100, 125)]
    ledger.insert_usage([row(number) for number in range(95)] + same_moment)
    steps: list[float] = []
    answer = reprice(ledger, with_new_model, LAST_DAY, progress=steps.append).dicts()
    assert answer[0]["rows"] == answer[0]["changed"] == 120
    assert len(steps) > 9
    assert 0 < steps[0] <= steps[-1] <= 1
    assert all(status == "priced" for _, status, _ in stored(ledger).values())


def test_invented_models_share_one_line_once_there_are_too_many(
    ledger: DuckDBLedger, book: PriceBook, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("byline.usage.prices.reprice.MAX_GROUPS", 3)
    ledger.insert_usage([row(number, model_reported=f"made-up-{number}") for number in range(10)])
    answer = reprice(ledger, book, LAST_DAY).dicts()
    assert {line["model"]: line["rows"] for line in answer} == {
        "made-up-0": 1, "made-up-1": 1, "made-up-2": 1, "(others)": 7,
    }  # fmt: skip
