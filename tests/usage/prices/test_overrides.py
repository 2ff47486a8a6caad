from __future__ import annotations

import re
import tomllib
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from byline.usage.prices import overrides
from byline.usage.prices.book import PriceBook, Quote
from byline.usage.prices.catalogue import Catalogue

NOVEMBER = datetime(2026, 11, 1, tzinfo=UTC)


def quoted(
    catalogue: Catalogue, toml: str, provider: str, model: str, at: datetime = NOVEMBER, **service: str
) -> Quote:
    own = overrides.read(tomllib.loads(toml)["models"])
    return PriceBook(catalogue, own).quote(provider, model, at, **service)


def cost(quote: Quote, *counts: int) -> Decimal:
    assert quote.charge is not None
    return quote.charge(*counts, *[0] * (7 - len(counts)))


CONTRACT = """
[models."anthropic/claude-sonnet-4-5"]
from = 2026-07-01
input_per_mtok = "2.40"
output_per_mtok = 12
cache_read_per_mtok = 0.24
factors = { batch = "0.5", us = "1.1" }
"""


def test_an_own_price_wins_over_the_catalogues(catalogue: Catalogue) -> None:
    quote = quoted(catalogue, CONTRACT, "anthropic", "claude-sonnet-4-5")
    assert (quote.status, quote.source) == ("priced", "own prices")
    assert cost(quote, 1_000_000, 1_000_000) == Decimal("2.64")


@pytest.mark.parametrize(
    "spelling", ["claude-sonnet-4-5-20250929", "Claude-Sonnet-4-5[1m]", "anthropic/claude-sonnet-4-5"]
)
def test_an_own_price_holds_for_every_spelling_of_the_model(catalogue: Catalogue, spelling: str) -> None:
    assert quoted(catalogue, CONTRACT, "anthropic", spelling).source == "own prices"


def test_before_its_day_the_catalogue_holds(catalogue: Catalogue) -> None:
    june = quoted(
        catalogue, CONTRACT, "anthropic", "claude-sonnet-4-5", datetime(2026, 6, 30, 23, 59, tzinfo=UTC)
    )
    assert cost(june, 1_000_000) == Decimal(6)


def test_factors_multiply_and_a_kind_of_service_without_one_has_no_price(catalogue: Catalogue) -> None:
    batch_us = quoted(catalogue, CONTRACT, "anthropic", "claude-sonnet-4-5", tier="batch", region="us")
    assert cost(batch_us, 1_000_000) == Decimal("1.32")
    fast = quoted(catalogue, CONTRACT, "anthropic", "claude-sonnet-4-5", speed="fast")
    assert (fast.status, fast.charge) == ("partial", None)
    assert "fast" in fast.reason


def test_several_dates_make_a_history(catalogue: Catalogue) -> None:
    history = """
    [[models."anthropic/house-model"]]
    from = 2026-02-01
    input_per_mtok = 2
    output_per_mtok = 4
    [[models."anthropic/house-model"]]
    from = 2026-01-01
    input_per_mtok = 1
    output_per_mtok = 2
    """
    by_month = [
        quoted(catalogue, history, "anthropic", "house-model", datetime(2026, month, 1, tzinfo=UTC))
        for month in (1, 2)
    ]
    assert [cost(quote, 1_000_000) for quote in by_month] == [1, 2]
    december = quoted(catalogue, history, "anthropic", "house-model", datetime(2025, 12, 31, tzinfo=UTC))
    assert december.status == "unknown_model"


def test_a_provider_of_ones_own_and_a_star_for_fine_tunes(catalogue: Catalogue) -> None:
    toml = """
    [models."vllm/llama-4"]
    input_per_mtok = 0
    output_per_mtok = "0.10"
    [models."openai/ft:gpt-4.1-2025-04-14:*"]
    input_per_mtok = 3
    output_per_mtok = 12
    """
    assert cost(quoted(catalogue, toml, "vllm", "llama-4"), 10, 0, 0, 0, 1000) == Decimal("0.0001")
    assert cost(quoted(catalogue, toml, "openai", "ft:gpt-4.1-2025-04-14:acme:a:b"), 1_000_000) == 3
    assert quoted(catalogue, toml, "openai", "ft:gpt-4.1-mini-2025-04-14:acme").status == "unknown_model"


def test_long_context_prices_of_ones_own(catalogue: Catalogue) -> None:
    toml = """
    [models."anthropic/claude-sonnet-4-5"]
    input_per_mtok = 3
    output_per_mtok = 15
    web_search_per_1k = 8
    above = [{ tokens = 200000, input_per_mtok = 5, output_per_mtok = 20 }]
    """
    quote = quoted(catalogue, toml, "anthropic", "claude-sonnet-4-5")
    assert cost(quote, 200_000, 0, 0, 0, 1000) == Decimal("0.615")
    assert cost(quote, 200_001, 0, 0, 0, 1000, 0, 1) == Decimal("1.028005")


@pytest.mark.parametrize(
    ("name", "table", "complaint"),
    [
        ("claude-x", {"input_per_mtok": 1}, "provider before the model"),
        ("anthropic/claude-x", {}, "no price"),
        ("anthropic/claude-x", {"input_per_mtok": -1}, "input_per_mtok must be a number of dollars"),
        ("anthropic/claude-x", {"input_per_mtok": float("nan")}, "input_per_mtok must be"),
        ("anthropic/claude-x", {"input_per_mtok": "three"}, "input_per_mtok"),
        ("anthropic/claude-x", {"input_price": 3}, "input_price"),
        ("anthropic/claude-x", {"input_per_mtok": 3, "from": "soon"}, "from"),
        ("anthropic/claude-x", {"input_per_mtok": 3, "factors": {"batch": -1}}, "factors.batch must be"),
        (
            "anthropic/claude-x",
            {"input_per_mtok": 3, "above": [{"tokens": 0, "input_per_mtok": 3}]},
            "above.tokens",
        ),
        ("anthropic/claude-x", 3, "claude-x"),
    ],
)
def test_a_faulty_entry_is_refused_by_name(name: str, table: object, complaint: str) -> None:
    with pytest.raises(ValueError) as refused:
        overrides.read({name: table})
    assert f'[models."{name}"]' in str(refused.value)
    assert complaint in str(refused.value)


def test_the_edition_changes_with_any_price_and_not_with_their_order() -> None:
    one, two = ("a/b", {"input_per_mtok": 1}), ("c/d", {"input_per_mtok": 2})
    assert overrides.read(dict([one, two])).edition == overrides.read(dict([two, one])).edition
    assert overrides.read(dict([one])).edition != overrides.read({"a/b": {"input_per_mtok": 2}}).edition


def test_the_example_in_the_documentation_is_valid() -> None:
    page = Path(__file__).parents[3] / "docs" / "explanation" / "prices.md"
    (example,) = re.findall(r"```toml\n(# own-prices.toml.*?)```", page.read_text(), re.DOTALL)
    own = overrides.read(tomllib.loads(example)["models"])
    assert own.find("openai", "ft:gpt-4.1-2025-04-14:acme", date(2026, 11, 1)) is not None
    assert own.find("anthropic", "claude-sonnet-4-5-20250929", date(2026, 6, 30)) is None
