"""Reservations of requests nobody has seen the like of, and of models that are known by now."""

from __future__ import annotations

import pytest

from byline.budgets.estimate import (
    ASSUMED_OUTPUT_TOKENS,
    LEARNS_ALL_UNTIL,
    LEARNT_AFTER,
    MAX_COUNTED_BYTES,
    MAX_MODELS,
    Estimator,
    output_limit,
)

MODEL = "claude-sonnet-4-6"
RATES = (3.0, 15.0)


def estimator(rates: tuple[float, float] = RATES) -> Estimator:
    return Estimator(lambda _provider, _model: rates)


def teach(learner: Estimator, times: int, *, input_tokens: int = 250, output_tokens: int = 100) -> None:
    cost = round(input_tokens * RATES[0] + output_tokens * RATES[1])
    for _ in range(times):
        learner.learn(
            "anthropic", MODEL, body_bytes=1000, max_output=1000, input_tokens=input_tokens,
            output_tokens=output_tokens, cost_micros=cost,
        )  # fmt: skip


def test_the_first_request_reserves_its_size_and_all_it_may_write() -> None:
    first = estimator().estimate("anthropic", MODEL, 1000, 500)
    assert first.tokens == 341 + 500
    assert first.micros == 1000 * 0.34 * 3.0 * 1.25 + 500 * 15 + 1


def test_a_request_without_a_limit_reserves_what_its_model_writes_at_most() -> None:
    assert estimator().estimate("anthropic", MODEL, 0, None).micros == 64_000 * 15 + 1


@pytest.mark.parametrize(
    ("model", "tokens"),
    [
        ("claude-3-haiku", 8_192),
        ("claude-opus-4-1", 32_000),
        ("Claude-Sonnet-4-6", 64_000),
        ("gpt-4o-mini", 16_384),
        ("gpt-4.1", 32_768),
        ("gpt-4-turbo", 4_096),
        ("o3", 100_000),
        ("gpt-5-mini", 128_000),
        ("anthropic.claude-sonnet-4", 64_000),
        ("llama", ASSUMED_OUTPUT_TOKENS),
        ("", ASSUMED_OUTPUT_TOKENS),
    ],
)
def test_the_most_a_model_writes_is_known_by_its_name(model: str, tokens: int) -> None:
    assert output_limit(model) == tokens


def test_a_body_beyond_the_largest_context_is_files_and_counts_no_further() -> None:
    known = estimator()
    whole = known.estimate("anthropic", MODEL, MAX_COUNTED_BYTES, 0)
    assert known.estimate("anthropic", MODEL, 10 * MAX_COUNTED_BYTES, 0) == whole


def test_nothing_is_learnt_from_a_few_answers_and_much_from_twenty() -> None:
    known = estimator()
    before = known.estimate("anthropic", MODEL, 1000, 1000)
    teach(known, LEARNT_AFTER - 1)
    assert known.estimate("anthropic", MODEL, 1000, 1000) == before
    teach(known, 1)
    after = known.estimate("anthropic", MODEL, 1000, 1000)
    assert 350 <= after.tokens < before.tokens
    assert 250 * 3 + 100 * 15 <= after.micros < before.micros / 2


def test_what_varies_keeps_room_for_more_than_the_average() -> None:
    known = estimator()
    known.estimate("anthropic", MODEL, 1000, 1000)
    for number in range(400):
        teach(known, 1, output_tokens=100 if number % 2 else 500)
    assert known.estimate("anthropic", MODEL, 1000, 1000).tokens >= 250 + 500


def test_no_more_is_reserved_than_may_be_written() -> None:
    known = estimator()
    known.estimate("anthropic", MODEL, 1000, 1000)
    for number in range(100):
        teach(known, 1, output_tokens=1000 if number % 2 else 10)
    assert known.estimate("anthropic", MODEL, 0, 1000).tokens == 1 + 1000


def test_a_price_that_changes_counts_for_models_already_known() -> None:
    rates = [RATES]
    known = Estimator(lambda _provider, _model: rates[0])
    before = known.estimate("anthropic", MODEL, 1000, 1000)
    rates[0] = (30.0, 150.0)
    assert known.estimate("anthropic", MODEL, 1000, 1000) == before
    known.refresh_rates()
    assert known.estimate("anthropic", MODEL, 1000, 1000).micros == pytest.approx(
        before.micros * 10, rel=0.01
    )


def test_models_are_learnt_apart_and_by_provider() -> None:
    known = estimator()
    other = known.estimate("bedrock", MODEL, 1000, 1000)
    known.estimate("anthropic", MODEL, 1000, 1000)
    teach(known, LEARNT_AFTER)
    assert known.estimate("bedrock", MODEL, 1000, 1000) == other
    assert known.estimate("anthropic", MODEL, 1000, 1000) != other


def test_an_answer_is_wanted_from_known_models_each_at_first_then_one_in_eight() -> None:
    known = estimator()
    assert not known.wants_to_learn("anthropic", MODEL)
    known.estimate("anthropic", MODEL, 1000, 1000)
    wanted = [known.wants_to_learn("anthropic", MODEL) for _ in range(LEARNS_ALL_UNTIL + 79)]
    assert all(wanted[: LEARNS_ALL_UNTIL - 1])
    assert sum(wanted[LEARNS_ALL_UNTIL - 1 :]) == 10


@pytest.mark.parametrize(("body_bytes", "max_output"), [(0, 1000), (1000, 0)])
def test_an_answer_that_teaches_nothing_changes_nothing(body_bytes: int, max_output: int) -> None:
    known = estimator()
    before = known.estimate("anthropic", MODEL, 1000, 1000)
    for _ in range(LEARNT_AFTER):
        known.learn(
            "anthropic", MODEL, body_bytes=body_bytes, max_output=max_output, input_tokens=1, output_tokens=1,
            cost_micros=1,
        )  # fmt: skip
    assert known.estimate("anthropic", MODEL, 1000, 1000) == before


def test_names_of_models_from_clients_fill_no_memory() -> None:
    known = estimator()
    for number in range(3 * MAX_MODELS):
        known.estimate("anthropic", f"made-up-{number}", 10, 10)
    assert len(known._models) <= MAX_MODELS
