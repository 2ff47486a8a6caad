"""The rules a bill is made of, each against figures worked out by hand from the published price."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from byline.apis.api import Iteration
from byline.usage.prices import overrides
from byline.usage.prices.book import PriceBook
from byline.usage.prices.catalogue import Catalogue
from byline.usage.prices.cost import price
from byline.usage.record import UsageRecord

NOVEMBER = datetime(2026, 11, 1, 12, tzinfo=UTC)


def attempt(model: str | None = "claude-sonnet-4-6", **fields: Any) -> UsageRecord:
    known = {
        "request_id": "r",
        "exchange_id": "e",
        "started_at": NOVEMBER,
        "provider": "openai" if model and model.startswith(("gpt", "o3", "ft:")) else "anthropic",
        "api": "messages",
        "outcome": "ok",
        "model_reported": model,
    }
    return UsageRecord(**known | fields)


def costed(book: PriceBook, record: UsageRecord) -> tuple[Decimal | None, str | None]:
    price(record, book)
    return record.cost_usd, record.cost_status


MILLION = {"input_uncached_tokens": 1_000_000, "output_tokens": 1_000_000}


@pytest.mark.parametrize(
    ("model", "usage", "dollars"),
    [
        ("claude-sonnet-4-6", {"input_uncached_tokens": 1000, "output_tokens": 100}, "0.0045"),
        # every disjoint part at its own price: 3 + 0.30 + 3.75 + 6 + 15 per million
        (
            "claude-sonnet-4-6",
            {
                "input_uncached_tokens": 1_000_000, "cache_read_tokens": 1_000_000, "cache_write_tokens": 2_000_000,
                "cache_write_5m_tokens": 1_000_000, "cache_write_1h_tokens": 1_000_000, "output_tokens": 1_000_000,
            },
            "28.05",
        ),
        # only the total of the writes known: the five-minute price
        ("claude-sonnet-4-6", {"input_uncached_tokens": 0, "cache_write_tokens": 1000, "output_tokens": 0}, "0.00375"),
        # the split covers a part of the total
        (
            "claude-sonnet-4-6",
            {"input_uncached_tokens": 0, "cache_write_tokens": 1000, "cache_write_1h_tokens": 400, "output_tokens": 0},
            "0.00465",
        ),
        # reasoning is part of output, not added to it
        ("gpt-4.1", {"input_uncached_tokens": 0, "output_tokens": 1000, "reasoning_tokens": 900}, "0.008"),
        ("claude-sonnet-4-6", {"input_uncached_tokens": 0, "output_tokens": 0, "web_search_requests": 7}, "0.07"),
        ("claude-sonnet-4-6", {"input_uncached_tokens": 0, "output_tokens": 0}, "0"),
        ("claude-opus-5-5", {**MILLION, "speed": "fast"}, "48"),
        ("claude-opus-5-5", {**MILLION, "speed": "standard", "service_tier": "standard", "inference_geo": "global"}, "24"),
        ("claude-opus-4-7", {**MILLION, "speed": "fast"}, "180"),
        ("claude-opus-5-5", {**MILLION, "inference_geo": "us"}, "26.4"),
        ("claude-opus-5-5", {**MILLION, "inference_geo": "us", "speed": "fast"}, "52.8"),
        # a region adds to tokens, not to searches
        ("claude-opus-5-5", {**MILLION, "inference_geo": "us", "web_search_requests": 100}, "27.4"),
        ("claude-sonnet-4-5", {"input_uncached_tokens": 1000, "output_tokens": 0, "inference_geo": "us"}, "0.003"),
        ("claude-opus-5-5", {**MILLION, "service_tier": "batch"}, "12"),
        # the catalogue dates batch prices from October; Anthropic has charged half from the start
        ("claude-sonnet-4-6", {**MILLION, "service_tier": "batch", "started_at": datetime(2026, 6, 1, tzinfo=UTC)}, "9"),
        ("gpt-4.1", {**MILLION, "service_tier": "default"}, "10"),
        ("gpt-4.1", {**MILLION, "service_tier": "priority"}, "17.5"),
        ("gpt-6.1-sol", {"input_uncached_tokens": 1000, "output_tokens": 0, "service_tier": "flex"}, "0.001"),
        ("gpt-6.1-sol", {"input_uncached_tokens": 1000, "output_tokens": 0, "server_address": "eu.api.openai.com"}, "0.0022"),
        ("gpt-4.1", {"input_uncached_tokens": 1000, "output_tokens": 0, "server_address": "eu.api.openai.com"}, "0.002"),
        ("gpt-6.1-sol", {"input_uncached_tokens": 1000, "output_tokens": 0, "server_address": "api.openai.com"}, "0.002"),
    ],
)  # fmt: skip
def test_a_used_part_is_charged_at_its_price(
    book: PriceBook, model: str, usage: dict[str, Any], dollars: str
) -> None:
    assert costed(book, attempt(model, **usage)) == (Decimal(dollars), "priced")


@pytest.mark.parametrize(
    ("input_tokens", "dollars"),
    [
        (200_000, "0.6"),  # at the limit: 3 dollars a million
        (200_001, "1.200006"),  # over it: 6 dollars for every token
    ],
)
def test_a_long_context_is_measured_with_its_cache_and_charged_whole(
    book: PriceBook, input_tokens: int, dollars: str
) -> None:
    plain = attempt("claude-sonnet-4-5", input_uncached_tokens=input_tokens, output_tokens=0)
    assert costed(book, plain) == (Decimal(dollars), "priced")

    cached = attempt(
        "claude-sonnet-4-5",
        input_uncached_tokens=1000,
        cache_read_tokens=input_tokens - 1000,
        output_tokens=0,
    )
    rate = 3 if input_tokens <= 200_000 else 6
    expected = (rate * 1000 + Decimal(rate) / 10 * (input_tokens - 1000)) / 1_000_000
    assert costed(book, cached) == (expected, "priced")


def test_the_price_of_the_day_counts_not_todays(book: PriceBook) -> None:
    usage = {"input_uncached_tokens": 300_000, "output_tokens": 0}
    before = attempt(started_at=datetime(2026, 3, 12, 23, 59, 59, tzinfo=UTC), **usage)
    after = attempt(started_at=datetime(2026, 3, 13, tzinfo=UTC), **usage)
    assert costed(book, before) == (Decimal("1.8"), "priced")
    assert costed(book, after) == (Decimal("0.9"), "priced")


def test_a_day_begins_in_utc_wherever_the_clock_stands(book: PriceBook) -> None:
    usage = {"input_uncached_tokens": 300_000, "output_tokens": 0}
    tokyo = attempt(started_at=datetime.fromisoformat("2026-03-13T08:59:59+09:00"), **usage)
    assert costed(book, tokyo) == (Decimal("1.8"), "priced")


def test_a_price_that_changes_within_the_day_follows_the_minute(book: PriceBook) -> None:
    def at(hour: int, minute: int) -> Decimal | None:
        record = attempt(
            "deepseek-chat", provider="deepseek", started_at=datetime(2026, 11, 1, hour, minute, tzinfo=UTC),
            input_uncached_tokens=1_000_000, output_tokens=0,
        )  # fmt: skip
        return costed(book, record)[0]

    assert [at(0, 29), at(0, 30), at(16, 29), at(16, 30)] == [
        Decimal(x) for x in ("0.135", "0.27", "0.27", "0.135")
    ]


@pytest.mark.parametrize(
    ("model", "usage", "amount"),
    [
        # the kind of service has no published price: nothing is charged at another kind's price
        ("claude-sonnet-4-6", {**MILLION, "service_tier": "priority"}, None),
        ("gpt-4.1", {**MILLION, "service_tier": "scale"}, None),
        ("gpt-4.1", {**MILLION, "service_tier": "flex"}, None),
        (
            "gpt-6.1-sol",
            {**MILLION, "service_tier": "flex", "started_at": datetime(2026, 10, 1, tzinfo=UTC)},
            None,
        ),
        ("claude-haiku-4-5", {**MILLION, "speed": "fast"}, None),
        ("claude-opus-5-5", {**MILLION, "inference_geo": "mars"}, None),
        # a used part has no price of its own: the rest is known
        (
            "claude-3-haiku",
            {"input_uncached_tokens": 1000, "output_tokens": 0, "web_search_requests": 3},
            "0.00025",
        ),
        (
            "gpt-4o-2024-05-13",
            {"input_uncached_tokens": 0, "cache_read_tokens": 1000, "output_tokens": 0},
            "0.005",
        ),
        # the provider left a count out
        ("claude-sonnet-4-6", {"input_uncached_tokens": 1000}, "0.003"),
        ("claude-sonnet-4-6", {"output_tokens": 1000}, "0.015"),
    ],
)
def test_what_is_not_known_makes_the_cost_partial(
    book: PriceBook, model: str, usage: dict[str, Any], amount: str | None
) -> None:
    assert costed(book, attempt(model, **usage)) == (amount and Decimal(amount), "partial")


def test_a_gap_in_the_prices_that_was_not_used_leaves_the_cost_whole(book: PriceBook) -> None:
    record = attempt("gpt-4o-2024-05-13", input_uncached_tokens=1000, cache_read_tokens=0, output_tokens=0)
    assert costed(book, record) == (Decimal("0.005"), "priced")


def test_an_unknown_model_has_no_cost_rather_than_none(book: PriceBook) -> None:
    assert costed(book, attempt("claude-sonnet-99", **MILLION)) == (None, "unknown_model")
    assert costed(book, attempt(None, **MILLION)) == (None, "unknown_model")


def test_the_requested_model_stands_in_where_the_answer_named_none(book: PriceBook) -> None:
    record = attempt(None, model_requested="claude-sonnet-4-6", input_uncached_tokens=1000, output_tokens=0)
    assert costed(book, record) == (Decimal("0.003"), "priced")


def test_what_the_answer_names_wins_over_what_was_requested(book: PriceBook) -> None:
    record = attempt(
        "claude-haiku-4-5", model_requested="claude-opus-5", input_uncached_tokens=1000, output_tokens=0
    )
    assert costed(book, record) == (Decimal("0.001"), "priced")


def test_an_answer_without_usage_says_so(book: PriceBook) -> None:
    assert costed(book, attempt(outcome="upstream_error", http_status=529)) == (None, "no_usage")
    assert costed(book, attempt(api="count_tokens", input_uncached_tokens=500)) == (None, "no_usage")


def test_a_refused_request_has_neither_cost_nor_status(book: PriceBook) -> None:
    record = attempt(outcome="rejected")
    assert costed(book, record) == (None, None)
    assert record.price_version is None


def test_the_clients_own_credential_gets_a_notional_cost(book: PriceBook) -> None:
    record = attempt(credential="client", input_uncached_tokens=1000, output_tokens=100)
    assert costed(book, record) == (Decimal("0.0045"), "priced")


def test_iterations_outside_the_totals_are_charged_each_at_its_own_model(book: PriceBook) -> None:
    record = attempt(
        "claude-sonnet-4-6",
        input_uncached_tokens=4727,
        output_tokens=3391,
        iterations=[
            Iteration(type="message", input_uncached_tokens=4727, output_tokens=3391, in_totals=True),
            Iteration(
                type="advisor_message",
                model="claude-opus-4-7",
                input_uncached_tokens=2728,
                output_tokens=3880,
            ),
            Iteration(
                type="compaction", input_uncached_tokens=100, cache_read_tokens=55_096, output_tokens=83
            ),
        ],
    )
    message = 4727 * 3 + 3391 * 15
    advisor = 2728 * 5 + 3880 * 25
    compaction = 100 * 3 + Decimal("0.3") * 55_096 + 83 * 15
    assert costed(book, record) == ((message + advisor + compaction) / 1_000_000, "priced")


def test_another_models_iteration_is_not_fast_where_it_can_not_be(book: PriceBook) -> None:
    record = attempt(
        "claude-opus-5-5",
        speed="fast",
        input_uncached_tokens=1000,
        output_tokens=0,
        iterations=[
            Iteration(type="compaction", input_uncached_tokens=1000, output_tokens=0),
            Iteration(
                type="advisor_message", model="claude-haiku-4-5", input_uncached_tokens=1000, output_tokens=0
            ),
        ],
    )
    assert costed(book, record) == (Decimal("0.008") + Decimal("0.008") + Decimal("0.001"), "priced")


def test_an_iteration_of_an_unknown_model_leaves_the_sum_partial(book: PriceBook) -> None:
    record = attempt(
        input_uncached_tokens=1000,
        output_tokens=0,
        iterations=[
            Iteration(type="advisor_message", model="claude-next", input_uncached_tokens=5, output_tokens=5)
        ],
    )
    assert costed(book, record) == (Decimal("0.003"), "partial")


@pytest.mark.parametrize(("audio", "status"), [(0, "priced"), (40, "partial")])
def test_audio_hidden_in_the_totals_makes_the_cost_partial(book: PriceBook, audio: int, status: str) -> None:
    raw = msgspec.json.encode({"prompt_tokens": 100, "prompt_tokens_details": {"audio_tokens": audio}})
    record = attempt("gpt-audio", input_uncached_tokens=100, output_tokens=0, raw_usage=msgspec.Raw(raw))
    assert costed(book, record) == (Decimal("0.00025"), status)


def test_an_amount_has_no_more_places_than_stores_keep(book: PriceBook) -> None:
    usage = {"input_uncached_tokens": 0, "cache_write_tokens": 1, "output_tokens": 0}
    record = attempt("google/gemini-2.5-flash", provider="openrouter", **usage)
    assert costed(book, record) == (Decimal("0.000000083333"), "priced")


def test_the_price_version_names_the_data_the_rules_and_the_own_prices(catalogue: Catalogue) -> None:
    own = overrides.read({"anthropic/claude-x": {"input_per_mtok": "1", "output_per_mtok": "2"}})
    plain, with_own = PriceBook(catalogue).version, PriceBook(catalogue, own).version
    assert plain.startswith("genai-prices-0.")
    assert with_own == f"{plain}+own.{own.edition}"
    record = attempt(**MILLION)
    price(record, PriceBook(catalogue))
    assert record.price_version == plain
