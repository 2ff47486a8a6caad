from __future__ import annotations

from datetime import UTC, datetime

import pytest

from byline.usage.prices.book import CACHED_MODELS, CACHED_QUOTES, PriceBook
from byline.usage.prices.catalogue import Catalogue

AT = datetime(2026, 11, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("provider", "spelling", "price_list", "model"),
    [
        ("anthropic", "claude-sonnet-4-5", "anthropic", "claude-sonnet-4-5"),
        ("anthropic", "claude-sonnet-4-5-20250929", "anthropic", "claude-sonnet-4-5"),
        ("anthropic", "Claude-Sonnet-4-5", "anthropic", "claude-sonnet-4-5"),
        ("anthropic", "claude-sonnet-4-5[1m]", "anthropic", "claude-sonnet-4-5"),
        ("anthropic", "claude-opus-4-1-20250805[1m]", "anthropic", "claude-opus-4-1"),
        ("anthropic", "claude-3-7-sonnet-latest", "anthropic", "claude-3-7-sonnet-latest"),
        ("anthropic", "claude-sonnet-5-5-latest", "anthropic", "claude-sonnet-5-5"),
        ("anthropic", "anthropic/claude-opus-5", "anthropic", "claude-opus-5"),
        ("anthropic", "claude-opus-5-5-20260923", "anthropic", "claude-opus-5-5"),
        ("litellm", "anthropic/claude-opus-5", "anthropic", "claude-opus-5"),
        ("litellm", "bedrock/anthropic.claude-3-5-sonnet-20241022-v2:0", "aws", "regional.anthropic.claude-3-5-sonnet-20241022-v2:0"),
        ("openrouter", "anthropic/claude-sonnet-4.5", "openrouter", "anthropic/claude-sonnet-4.5"),
        ("anthropic", "us.anthropic.claude-sonnet-4-5-20250929-v1:0", "aws", "regional.anthropic.claude-sonnet-4-5-20250929-v1:0"),
        ("anthropic", "global.anthropic.claude-opus-4-6-v1", "aws", "global.anthropic.claude-opus-4-6-v1:0"),
        (
            "bedrock",
            "arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.anthropic.claude-haiku-4-5-20251001-v1:0",
            "aws",
            "regional.anthropic.claude-haiku-4-5-20251001-v1:0",
        ),
        ("vertex", "claude-haiku-4-5@20251001", "google", "claude-haiku-4-5"),
        ("vertex", "publishers/anthropic/models/claude-opus-4-6@20260205", "google", "claude-opus-4-6"),
        ("openai", "gpt-4o", "openai", "gpt-4o"),
        ("openai", "gpt-4o-2024-08-06", "openai", "gpt-4o"),
        ("openai", "gpt-4o-2024-05-13", "openai", "gpt-4o-2024-05-13"),
        ("openai", "openai/gpt-4.1-mini", "openai", "gpt-4.1-mini"),
        ("openai", "gpt-6.1-sol-2026-09-29", "openai", "gpt-6.1-sol"),
        ("openai", "ft:gpt-4o-mini-2024-07-18:acme:support:1a2b", "openai", "ft:gpt-4o-mini"),
        ("azure", "gpt-4.1-mini", "azure", "gpt-4.1-mini"),
    ],
)  # fmt: skip
def test_a_spelling_in_use_finds_its_model(
    book: PriceBook, provider: str, spelling: str, price_list: str, model: str
) -> None:
    quote = book.quote(provider, spelling, AT)
    assert (quote.status, quote.price_list, quote.model) == ("priced", price_list, model)


@pytest.mark.parametrize(
    ("provider", "spelling"),
    [
        ("anthropic", "claude-sonnet-4-5-17x"),
        ("anthropic", "claude-sonnet-4-52"),
        ("anthropic", "claude-sonnet-4-5-20251341"),
        ("anthropic", "claude-sonnet-4-5-turbo"),
        ("anthropic", "claude-sonnet-4-5[2m]"),
        ("anthropic", "claude-sonnet-9"),
        ("anthropic", "gpt-4o"),
        ("anthropic", "openai/gpt-4o"),
        ("openai", "gpt-4o-2027-01-01"),
        ("openai", "ft:gpt-4.1-2025-04-14:acme"),
        ("openai", "ft:gpt-4o-2024-99-99:acme"),
        ("openai", "my-gpt-4o"),
        ("bedrock", "us.anthropic.claude-sonnet-4-5-20250929-v1:0-evil"),
        ("vertex", "claude-haiku-4-5@yesterday"),
        ("my-vllm", "gpt-4o"),
        ("anthropic", ""),
        ("anthropic", "/"),
        ("openai", "ft:"),
    ],
)
def test_anything_else_is_an_unknown_model(book: PriceBook, provider: str, spelling: str) -> None:
    assert book.quote(provider, spelling, AT).status == "unknown_model"


def test_a_configured_provider_charges_by_the_list_it_is_mapped_to(catalogue: Catalogue) -> None:
    book = PriceBook(catalogue, price_lists={"corp": "openai", "eu-cloud": "bedrock"})
    assert book.quote("corp", "gpt-4o", AT).price_list == "openai"
    assert book.quote("eu-cloud", "eu.anthropic.claude-sonnet-4-5-20250929-v1:0", AT).price_list == "aws"


def test_invented_names_fill_no_cache_beyond_its_bound(catalogue: Catalogue) -> None:
    book = PriceBook(catalogue)
    for number in range(CACHED_MODELS + 500):
        book.quote("anthropic", f"claude-sonnet-4-5-{number}x", AT)
    book.quote("anthropic", "claude-" + "x" * 100_000, AT)
    assert book.cached() == {"models": CACHED_MODELS, "quotes": CACHED_QUOTES}
