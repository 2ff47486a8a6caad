"""Which budgets hold for whom."""

from __future__ import annotations

from typing import Any

import pytest

from byline.budgets.book import MAX_CALLERS, BudgetBook, Caller
from byline.budgets.limits import Budget, checked, describe_amount


def daily(scope: Any, name: str, dollars: int, **more: Any) -> Budget:
    return Budget(scope=scope, name=name, kind="usd_per_day", amount=dollars * 1_000_000, **more)


def amounts(book: BudgetBook, caller: Caller) -> dict[str, int]:
    return {each.counter: each.limit // 1_000_000 for each in book.verdicts(caller).applied}


def test_an_exact_name_beats_patterns_and_a_longer_pattern_a_shorter() -> None:
    book = BudgetBook([daily("user", "*", 1), daily("user", "ada*", 2), daily("user", "ada", 3)])
    assert amounts(book, Caller(user="ada")) == {"usd_per_day:user:ada": 3}
    assert amounts(book, Caller(user="ada2")) == {"usd_per_day:user:ada2": 2}
    assert amounts(book, Caller(user="bob")) == {"usd_per_day:user:bob": 1}


def test_limits_of_several_scopes_and_kinds_hold_together() -> None:
    rate = Budget(scope="user", name="*", kind="requests_per_minute", amount=5)
    book = BudgetBook([daily("user", "*", 1), rate, daily("team", "core", 2), daily("all", "", 3)])
    found = [each.counter for each in book.verdicts(Caller(user="ada", team="core")).applied]
    assert sorted(found) == [
        "requests_per_minute:user:ada", "usd_per_day:all:", "usd_per_day:team:core", "usd_per_day:user:ada",
    ]  # fmt: skip
    assert amounts(book, Caller()) == {"usd_per_day:all:": 3}


def test_models_share_one_sum_whatever_their_spelling() -> None:
    book = BudgetBook([daily("model", "claude-*", 4)])
    assert amounts(book, Caller(model="Claude-Haiku")) == {"usd_per_day:model:claude-*": 4}
    assert amounts(book, Caller(model="gpt-5")) == {}


def test_a_model_outside_the_list_is_denied_hard_ones_first() -> None:
    soft = Budget(scope="all", kind="models", models=("claude-*",), mode="soft")
    hard = Budget(scope="team", name="interns", kind="models", models=("claude-haiku-*",))
    book = BudgetBook([soft, hard])
    assert book.verdicts(Caller(team="interns", model="gpt-5")).denied_by == (hard, soft)
    assert book.verdicts(Caller(team="interns", model="claude-haiku-4-5")).denied_by == ()
    assert book.verdicts(Caller(team="interns")).denied_by == ()


def test_only_money_that_a_caller_is_told_of_is_its_own() -> None:
    assert BudgetBook([daily("user", "*", 1)]).verdicts(Caller(user="a")).has_own_money
    assert not BudgetBook([daily("user", "*", 1, mode="shadow")]).verdicts(Caller(user="a")).has_own_money


def test_names_from_clients_fill_no_memory() -> None:
    book = BudgetBook([daily("job", "*", 1)])
    for number in range(2 * MAX_CALLERS + 1):
        book.verdicts(Caller(job=f"job-{number}"))
    assert len(book._known) <= MAX_CALLERS


@pytest.mark.parametrize(
    ("budget", "says"),
    [
        (Budget(scope="user", name="a", kind="euros"), "'euros' is no limit"),
        (Budget(scope="galaxy", name="a", kind="usd_per_day"), "'galaxy' is no scope"),  # type: ignore[arg-type]
        (Budget(scope="user", name="a", kind="usd_per_day", mode="firm"), "'firm' is no mode"),  # type: ignore[arg-type]
        (Budget(scope="user", kind="usd_per_day"), "takes no name; every other scope takes one"),
        (Budget(scope="all", name="a", kind="usd_per_day"), "takes no name"),
        (Budget(scope="user", name="a", kind="models"), "no model is named"),
        (Budget(scope="user", name="a", kind="usd_per_day", amount=-1), "must be from 0 to"),
        (Budget(scope="user", name="a", kind="usd_per_day", amount=2**53), "must be from 0 to"),
    ],
)
def test_a_budget_that_cannot_work_says_what_to_write_instead(budget: Budget, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        checked(budget)


@pytest.mark.parametrize(
    ("budget", "words"),
    [
        (daily("user", "a", 1234), "$1,234.00 per day"),
        (Budget(scope="all", kind="usd_per_week", amount=125), "$0.000125 per week"),
        (Budget(scope="all", kind="concurrency", amount=1000), "1,000 requests at once"),
        (Budget(scope="all", kind="tokens_per_minute", amount=5), "5 tokens per minute"),
        (Budget(scope="all", kind="models", models=("a", "b")), "models a, b"),
    ],
)
def test_a_limit_reads_as_people_say_it(budget: Budget, words: str) -> None:
    assert describe_amount(budget) == words
