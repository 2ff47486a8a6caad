from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from byline.usage.reconcile.comparison import Comparison
from byline.usage.reconcile.figures import Book, Figures, merged

TENTH, ELEVENTH = date(2026, 11, 10), date(2026, 11, 11)
TODAY = date(2026, 11, 20)
KEY = (TENTH, "claude-sonnet-4-5")


def figures(tokens: int = 1000, cost: str | None = "3", **more: Any) -> Figures:
    return Figures(
        input_tokens=tokens, output_tokens=0, cost_usd=None if cost is None else Decimal(cost), **more
    )


def compared(ours: Book, theirs: Book, today: date = TODAY, **how: Any) -> list[dict[str, Any]]:
    return Comparison(ours, theirs, today, **how).table().dicts()


def cause(ours: Figures | None, theirs: Figures | None, today: date = TODAY) -> str | None:
    (line,) = compared({KEY: ours} if ours else {}, {KEY: theirs} if theirs else {}, today)
    return line["likely_causes"]


def test_equal_books_need_no_explanation() -> None:
    (line,) = compared({KEY: figures()}, {KEY: figures()})
    assert (line["tokens_captured"], line["cost_captured"], line["difference_usd"]) == (1, 1, 0)
    assert line["likely_causes"] is None


def test_the_captured_share_and_the_difference_are_told() -> None:
    (line,) = compared({KEY: figures(750, "2.25")}, {KEY: figures()})
    assert (line["tokens_captured"], line["cost_captured"]) == (0.75, 0.75)
    assert line["difference_usd"] == Decimal("-0.75")
    assert "don't go through Byline" in line["likely_causes"]


@pytest.mark.parametrize(
    ("ours", "theirs", "words"),
    [
        (None, figures(), "don't go through Byline"),
        (figures(), None, "not in the provider's report"),
        (figures(1200), figures(1000), "more than the provider counts"),
        (figures(900, incomplete=3), figures(), "3 answers were cut short"),
        (figures(900, without_usage=2), figures(), "2 answers reported no usage"),
        (figures(cost=None, unpriced=5), figures(), "5 rows have no whole price"),
        (figures(priority_tokens=1000), figures(cost="0.1"), "contracted tier"),
        (figures(cost="3"), figures(cost="2.4"), "charged 80.0% of the known price"),
    ],
)
def test_a_difference_is_traced(ours: Figures | None, theirs: Figures | None, words: str) -> None:
    assert words in (cause(ours, theirs) or "")


def test_missing_tokens_alone_do_not_accuse_the_prices() -> None:
    assert "price" not in (cause(figures(500, "1.5"), figures(1000, "3")) or "")


def test_a_day_that_is_not_over_is_said_to_be() -> None:
    assert "not over" in (cause(figures(900), figures(), today=TENTH) or "")
    assert cause(figures(), figures(), today=TENTH) is None


def test_requests_around_midnight_are_recognised_by_the_day_beside() -> None:
    model = "claude-sonnet-4-5"
    ours = {(TENTH, model): figures(900), (ELEVENTH, model): figures(1100)}
    theirs = {(TENTH, model): figures(1000), (ELEVENTH, model): figures(1000)}
    first, second = compared(ours, theirs)
    assert first["likely_causes"].startswith("2026-11-11 differs by as much the other way")
    assert second["likely_causes"].startswith("2026-11-10 differs by as much the other way")


def test_what_is_no_models_tokens_is_told_apart() -> None:
    theirs = {
        (TENTH, "(web_search)"): Figures(cost_usd=Decimal(1)),
        (TENTH, "(code_execution)"): Figures(cost_usd=Decimal(1)),
    }
    code, search = compared({}, theirs)
    assert "doesn't meter" in code["likely_causes"]
    assert "with their model" in search["likely_causes"]


def test_without_a_usage_report_only_money_is_compared() -> None:
    (line,) = compared({KEY: figures(1000, "3")}, {KEY: Figures(cost_usd=Decimal(4))}, has_usage=False)
    assert (line["tokens_captured"], line["cost_captured"]) == (None, 0.75)
    assert line["difference_usd"] == -1


def test_books_merge_by_what_is_asked_for() -> None:
    book = {(TENTH, "a"): figures(1), (TENTH, "b"): figures(2), (ELEVENTH, "a"): figures(4)}
    assert {key: found.tokens for key, found in merged([book], ("model",)).items()} == {
        (None, "a"): 5,
        (None, "b"): 2,
    }
    assert merged([book], ())[None, None].tokens == 7
