"""Counters in memory: all or nothing, settled with the real use, forgotten with their window."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from byline.budgets.counters import Hold
from byline.budgets.local import LocalCounters

NOON = 1_795_262_400.0
END = NOON + 43_200


def money(amount: int, limit: int, *, hard: bool = True, counter: str = "usd", window: str = "today") -> Hold:
    return Hold(counter, "day", window, END, amount, limit, hard)


def per_minute(amount: int, limit: int, *, hard: bool = True) -> Hold:
    return Hold("rpm", "minute", "", 0.0, amount, limit, hard)


def at_once(limit: int) -> Hold:
    return Hold("concurrency", None, "", 0.0, 1, limit, True)


def states(counters: LocalCounters, now: float = NOON) -> dict[str, tuple[int, int]]:
    return {state.counter: (state.used, state.held) for state in counters.states(now)}


def test_what_is_held_counts_until_it_is_settled() -> None:
    counters = LocalCounters()
    hold = money(60, 100)
    assert counters.reserve("one", [hold], NOON).refused is None
    assert counters.reserve("two", [hold], NOON).refused == 0
    counters.settle("one", [hold], [10], NOON)
    assert states(counters) == {"usd": (10, 0)}
    assert counters.reserve("three", [hold], NOON).refused is None


def test_a_refusal_holds_nothing_of_the_other_limits() -> None:
    counters = LocalCounters()
    counters.reserve("one", [at_once(1)], NOON)
    refused = counters.reserve("two", [money(5, 100), per_minute(1, 10), at_once(1)], NOON)
    assert refused.refused == 2
    assert refused.used_before == (1,)
    assert states(counters) == {"usd": (0, 0), "rpm": (0, 0), "concurrency": (0, 1)}


def test_soft_limits_count_and_do_not_refuse() -> None:
    counters = LocalCounters()
    for number in range(3):
        reserved = counters.reserve(str(number), [money(60, 100, hard=False)], NOON)
        assert reserved.refused is None
        assert list(reserved.used_before) == [60 * number]


def test_no_two_minutes_worth_pass_at_the_turn_of_a_minute() -> None:
    counters = LocalCounters()
    just_before = NOON - 1
    assert [counters.reserve(str(n), [per_minute(1, 10)], just_before).refused for n in range(10)] == [
        None
    ] * 10
    assert counters.reserve("next", [per_minute(1, 10)], NOON + 1).refused == 0
    assert counters.reserve("later", [per_minute(1, 10)], just_before + 60).refused is None


def test_a_refusal_of_a_minute_says_when_there_is_room() -> None:
    counters = LocalCounters()
    counters.reserve("one", [per_minute(4, 10)], NOON)
    counters.reserve("two", [per_minute(6, 10)], NOON + 20)
    refused = counters.reserve("three", [per_minute(5, 10)], NOON + 30)
    assert refused.retry_after_s == pytest.approx(50)
    refused = counters.reserve("three", [per_minute(4, 10)], NOON + 30)
    assert refused.retry_after_s == pytest.approx(30)


def test_settling_corrects_the_second_that_was_reserved_in() -> None:
    counters = LocalCounters()
    hold = per_minute(10, 10)
    counters.reserve("one", [hold], NOON)
    counters.settle("one", [hold], [3], NOON + 5)
    assert states(counters, NOON + 59) == {"rpm": (3, 0)}
    assert states(counters, NOON + 60) == {"rpm": (0, 0)}


def test_a_new_window_begins_at_nothing_and_old_answers_do_not_burden_it() -> None:
    counters = LocalCounters()
    old, new = money(60, 100), money(60, 100, window="tomorrow")
    counters.reserve("old", [old], NOON)
    assert counters.reserve("new", [new], END + 1).refused is None
    counters.settle("old", [old], [99], END + 2)
    assert states(counters, END + 2) == {"usd": (0, 60)}


def test_a_seed_is_what_was_used_before_and_only_that() -> None:
    counters = LocalCounters()
    counters.seed("usd", "today", 70, END)
    counters.seed("usd", "today", 70, END)
    assert counters.reserve("one", [money(40, 100)], NOON).refused == 0
    counters.seed_minute("rpm", {int(NOON) - 50: 4, int(NOON) - 5: 5})
    assert counters.reserve("two", [per_minute(2, 10)], NOON).refused == 0
    assert counters.reserve("two", [per_minute(2, 10)], NOON + 11).refused is None


def test_sums_of_what_is_over_are_forgotten() -> None:
    counters = LocalCounters()
    holds = [money(5, 100), per_minute(1, 10), at_once(3)]
    counters.reserve("one", holds, NOON)
    counters.prune(END + 60)
    assert states(counters, END + 60)["concurrency"] == (0, 1)
    counters.settle("one", holds, [5, 1, 0], END + 60)
    counters.prune(END + 61)
    assert states(counters, END + 61) == {}


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 40)), max_size=60), st.integers(0, 300))
def test_a_hard_limit_is_passed_only_by_use_beyond_reservations(
    requests: list[tuple[int, int]], limit: int
) -> None:
    counters = LocalCounters()
    used = beyond = 0
    for number, (estimate, actual) in enumerate(requests):
        hold = money(estimate, limit)
        if counters.reserve(str(number), [hold], NOON).refused is not None:
            assert used + estimate > limit
            continue
        counters.settle(str(number), [hold], [actual], NOON)
        used, beyond = used + actual, beyond + max(actual - estimate, 0)
    assert used <= limit + beyond
