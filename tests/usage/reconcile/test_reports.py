from __future__ import annotations

import json
from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from byline.usage.reconcile.figures import Figures
from byline.usage.reconcile.reports import ReportError, pages_in, read

TENTH = date(2026, 11, 10)
TENTH_UNIX = 1_794_268_800


def read_one(answer: Any, family: str):
    return read(pages_in(json.dumps(answer).encode()), family)  # type: ignore[arg-type]


def test_anthropics_disjoint_input_counts_become_a_total(shapes) -> None:
    usage = {
        "uncached_input_tokens": 1500,
        "cache_read_input_tokens": 200,
        "cache_creation": {"ephemeral_1h_input_tokens": 1000, "ephemeral_5m_input_tokens": 500},
        "output_tokens": 400,
    }
    report = read_one(shapes.anthropic_usage(("2026-11-10", [usage])), "anthropic")
    assert report.book == {
        (TENTH, "claude-sonnet-4-5"): Figures(
            input_tokens=3200,
            cache_read_tokens=200,
            cache_write_tokens=1500,
            output_tokens=400,
            priority_tokens=0,
        )
    }
    assert (report.has_usage, report.has_costs, report.cut_off) == (True, False, False)


def test_a_models_service_tiers_and_dated_names_add_up(shapes) -> None:
    answer = shapes.anthropic_usage(
        (
            "2026-11-10",
            [
                {"uncached_input_tokens": 1, "service_tier": "standard"},
                {"uncached_input_tokens": 10, "service_tier": "priority", "output_tokens": 3},
                {"uncached_input_tokens": 100, "model": "claude-sonnet-4-5"},
            ],
        )
    )
    (figures,) = read_one(answer, "anthropic").book.values()
    assert (figures.input_tokens, figures.output_tokens, figures.priority_tokens) == (111, 3, 13)


def test_anthropics_costs_are_in_cents_and_searches_stand_apart(shapes) -> None:
    answer = shapes.anthropic_costs(
        (
            "2026-11-10",
            [
                {"amount": "123.78912"},
                {"amount": "6.21088", "token_type": "output_tokens"},
                {"amount": "30", "model": None, "cost_type": "web_search", "token_type": None},
            ],
        )
    )
    assert read_one(answer, "anthropic").book == {
        (TENTH, "claude-sonnet-4-5"): Figures(cost_usd=Decimal("1.3")),
        (TENTH, "(web_search)"): Figures(cost_usd=Decimal("0.3")),
    }


def test_openais_usage_and_costs_meet_under_the_same_model(shapes) -> None:
    usage = {
        "input_tokens": 5000,
        "input_cached_tokens": 4000,
        "output_tokens": 1000,
        "num_model_requests": 5,
        "model": "gpt-4o-mini-2024-07-18",
        "service_tier": "default",
    }
    costs = [
        {"amount": {"value": 0.06, "currency": "usd"}, "line_item": "gpt-4o-mini-2024-07-18, input"},
        {"amount": {"value": "0.02", "currency": "usd"}, "line_item": "gpt-4o-mini-2024-07-18, output"},
        {"amount": {"value": 1.5, "currency": "usd"}, "line_item": "web search tool calls"},
    ]
    pages = pages_in(
        json.dumps(
            [
                shapes.openai("usage.completions", (TENTH_UNIX, [usage])),
                shapes.openai("costs", (TENTH_UNIX, costs)),
            ]
        ).encode()
    )
    report = read(pages, "openai")
    assert report.book[TENTH, "gpt-4o-mini"] == Figures(
        requests=5,
        input_tokens=5000,
        cache_read_tokens=4000,
        cache_write_tokens=0,
        output_tokens=1000,
        priority_tokens=0,
        cost_usd=Decimal("0.08"),
    )
    assert report.book[TENTH, "(web search tool calls)"].cost_usd == Decimal("1.5")
    assert (report.has_usage, report.has_costs) == (True, True)


def test_pages_may_stand_one_a_line_and_the_last_says_whether_it_is_the_end(shapes) -> None:
    first = shapes.anthropic_usage(("2026-11-10", [{"output_tokens": 1}]), next_page="page_x")
    second = shapes.anthropic_usage(("2026-11-11", [{"output_tokens": 2}]))
    both = b"\n".join(json.dumps(page).encode() for page in (first, second))
    assert len(read(pages_in(both), "anthropic").book) == 2
    assert not read(pages_in(both), "anthropic").cut_off
    assert read(pages_in(json.dumps(first).encode()), "anthropic").cut_off


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("date,model,cost\n2026-11-10,gpt-4o,3", "not JSON"),
        ('{"error": {"message": "no"}}', "no answer of an admin API"),
        ('{"data": [{"results": []}]}', "no starting_at or start_time"),
        ('{"data": [{"starting_at": "soon", "results": []}]}', "no starting_at or start_time"),
        ('{"data": [{"starting_at": "2026-11-10T00:00:00Z"}]}', "no results"),
        (
            '{"data": [{"starting_at": "2026-11-10T00:00:00Z", "results": [{"input_tokens": 3}]}]}',
            "of anthropic",
        ),
    ],
)
def test_what_is_no_report_is_refused_with_what_it_lacks(text: str, complaint: str) -> None:
    with pytest.raises(ReportError, match=complaint):
        read(pages_in(text.encode()), "anthropic")


def test_another_currency_is_refused_rather_than_summed(shapes) -> None:
    with pytest.raises(ReportError, match="EUR"):
        read_one(shapes.anthropic_costs(("2026-11-10", [{"amount": "1", "currency": "EUR"}])), "anthropic")
