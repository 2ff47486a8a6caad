"""Counters in memory: all or nothing, settled with the real use, forgotten with their window."""

from __future__ import annotations

from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from byline.budgets.counters import Reserved
from byline.budgets.limits import Period
from byline.budgets.local import LocalCounters
from byline.budgets.periods import window_at

NOON = 1_795_262_400.0
TODAY = window_at("day", NOON)
END = TODAY.ends_at


class Limit(NamedTuple):
    counter: str
    period: Period | None
    limit: int
    is_hard: bool = True


class Counters:
    """Reserves and settles (limit, amount) pairs."""

    def __init__(self) -> None:
        self.inner = LocalCounters()
        self.held: dict[str, tuple[list[tuple[Limit, int]], float]] = {}

    def reserve(self, name: str, parts: list[tuple[Limit, int]], now: float) -> Reserved:
        reserved = self.inner.reserve(
            name, [limit for limit, _ in parts], [amount for _, amount in parts], now
        )
        if reserved.refused is None:
            self.held[name] = parts, now
        return reserved

    def settle(self, name: str, actual: list[int]) -> None:
        parts, at = self.held.pop(name)
        self.inner.settle(name, [limit for limit, _ in parts], [amount for _, amount in parts], actual, at)


def money(amount: int, limit: int, *, hard: bool = True) -> tuple[Limit, int]:
    return Limit("usd", "day", limit, hard), amount


def per_minute(amount: int, limit: int) -> tuple[Limit, int]:
    return Limit("rpm", "minute", limit), amount


def at_once(limit: int) -> tuple[Limit, int]:
    return Limit("concurrency", None, limit), 1


def states(counters: Counters, now: float = NOON) -> dict[str, tuple[int, int]]:
    return {state.counter: (state.used, state.held) for state in counters.inner.states(now)}


def test_what_is_held_counts_until_it_is_settled() -> None:
    counters = Counters()
    hold = money(60, 100)
    assert counters.reserve("one", [hold], NOON).refused is None
    assert counters.reserve("two", [hold], NOON).refused == 0
    counters.settle("one", [10])
    assert states(counters) == {"usd": (10, 0)}
    assert counters.reserve("three", [hold], NOON).refused is None


def test_a_refusal_holds_nothing_of_the_other_limits() -> None:
    counters = Counters()
    counters.reserve("one", [at_once(1)], NOON)
    refused = counters.reserve("two", [money(5, 100), per_minute(1, 10), at_once(1)], NOON)
    assert refused.refused == 2
    assert refused.used_before == (1,)
    assert states(counters) == {"usd": (0, 0), "rpm": (0, 0), "concurrency": (0, 1)}


def test_soft_limits_count_and_do_not_refuse() -> None:
    counters = Counters()
    for number in range(3):
        reserved = counters.reserve(str(number), [money(60, 100, hard=False)], NOON)
        assert reserved.refused is None
        assert list(reserved.used_before) == [60 * number]


def test_no_two_minutes_worth_pass_at_the_turn_of_a_minute() -> None:
    counters = Counters()
    just_before = NOON - 1
    assert [counters.reserve(str(n), [per_minute(1, 10)], just_before).refused for n in range(10)] == [
        None
    ] * 10
    assert counters.reserve("next", [per_minute(1, 10)], NOON + 1).refused == 0
    assert counters.reserve("later", [per_minute(1, 10)], just_before + 60).refused is None


def test_a_refusal_of_a_minute_says_when_there_is_room() -> None:
    counters = Counters()
    counters.reserve("one", [per_minute(4, 10)], NOON)
    counters.reserve("two", [per_minute(6, 10)], NOON + 20)
    refused = counters.reserve("three", [per_minute(5, 10)], NOON + 30)
    assert refused.retry_after_s == pytest.approx(50)
    refused = counters.reserve("three", [per_minute(4, 10)], NOON + 30)
    assert refused.retry_after_s == pytest.approx(30)


def test_settling_corrects_the_second_that_was_reserved_in() -> None:
    counters = Counters()
    hold = per_minute(10, 10)
    counters.reserve("one", [hold], NOON)
    counters.settle("one", [3])
    assert states(counters, NOON + 59) == {"rpm": (3, 0)}
    assert states(counters, NOON + 60) == {"rpm": (0, 0)}


def test_a_new_window_begins_at_nothing_and_old_answers_do_not_burden_it() -> None:
    counters = Counters()
    counters.reserve("old", [money(60, 100)], NOON)
    assert counters.reserve("new", [money(60, 100)], END + 1).refused is None
    counters.settle("old", [99])
    assert states(counters, END + 2) == {"usd": (0, 60)}


def test_a_seed_is_what_was_used_before_and_only_that() -> None:
    counters = Counters()
    counters.inner.seed("usd", TODAY, 70)
    counters.inner.seed("usd", TODAY, 70)
    assert counters.reserve("one", [money(40, 100)], NOON).refused == 0
    counters.inner.seed_minute("rpm", {int(NOON) - 50: 4, int(NOON) - 5: 5})
    assert counters.reserve("two", [per_minute(2, 10)], NOON).refused == 0
    assert counters.reserve("two", [per_minute(2, 10)], NOON + 11).refused is None


def test_sums_of_what_is_over_are_forgotten() -> None:
    counters = Counters()
    holds = [money(5, 100), per_minute(1, 10), at_once(3)]
    counters.reserve("one", holds, NOON)
    counters.inner.prune(END + 60)
    assert states(counters, END + 60)["concurrency"] == (0, 1)
    counters.settle("one", [5, 1, 0])
    counters.inner.prune(END + 61)
    assert states(counters, END + 61) == {}


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 40)), max_size=60), st.integers(0, 300))
def test_a_hard_limit_is_passed_only_by_use_beyond_reservations(
    requests: list[tuple[int, int]], limit: int
) -> None:
    counters = Counters()
    used = beyond = 0
    for number, (estimate, actual) in enumerate(requests):
        hold = money(estimate, limit)
        if counters.reserve(str(number), [hold], NOON).refused is not None:
            assert used + estimate > limit
            continue
        counters.settle(str(number), [actual])
        used, beyond = used + actual, beyond + max(actual - estimate, 0)
    assert used <= limit + beyond
