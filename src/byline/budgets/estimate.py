"""How much a request may use, before anybody knows: its size, its output limit, and what was learnt.

The first requests of a model reserve the most they can use. From then on the share of that which its
requests really use is learnt, with room for those above the average.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final, NamedTuple

LEARNT_AFTER: Final = 20
"""Requests of a model before what was learnt counts."""
_WEIGHT: Final = 0.05
_DEVIATIONS: Final = 4.0
MAX_MODELS: Final = 1024

FIRST_TOKENS_PER_BYTE: Final = 0.34
"""English and JSON have about four bytes a token, code about three."""
FIRST_INPUT_FACTOR: Final = 1.25
"""Input may be written to the prompt cache, which costs a quarter more than plain input."""
MAX_COUNTED_BYTES: Final = 3_000_000
"""About a million tokens, the largest context window: what is longer holds images and files, which weigh far
less than their bytes."""
LEARNS_ALL_UNTIL: Final = 200

ASSUMED_OUTPUT_TOKENS: Final = 32_000
_OUTPUT_LIMITS: Final = (
    (re.compile(r"claude-(?:3-|2|instant)"), 8_192),
    (re.compile(r"claude-opus-4-[01]|claude-opus-4-2025"), 32_000),
    (re.compile(r"claude-"), 64_000),
    (re.compile(r"gpt-(?:3|4-)"), 4_096),
    (re.compile(r"gpt-4o|chatgpt-4o"), 16_384),
    (re.compile(r"gpt-4\.1"), 32_768),
    (re.compile(r"o[134](?:-|$)"), 100_000),
    (re.compile(r"gpt-(?:5|6|7)|codex"), 128_000),
)
"""What a model writes at most where the request sets no limit (from the providers' model pages)."""

Rates = tuple[float, float]
"""Millionths of a dollar per token: input, output."""
RatesOf = Callable[[str, str], Rates]
"""(provider, model) -> Rates; a model without a price gets those of an expensive one."""


class Estimate(NamedTuple):
    tokens: int
    micros: int


class _Share:
    """A running average with its deviation."""

    __slots__ = ("_deviation", "_first", "_mean", "_seen", "value")

    def __init__(self, first: float) -> None:
        self._first = self.value = first
        self._mean = self._deviation = 0.0
        self._seen = 0

    def learn(self, observed: float) -> None:
        self._seen += 1
        weight = max(_WEIGHT, 1 / self._seen)
        error = observed - self._mean
        self._mean += weight * error
        self._deviation += weight * (abs(error) - self._deviation)
        if self._seen >= LEARNT_AFTER:
            self.value = self._mean + _DEVIATIONS * self._deviation


class _Model:
    """What is learnt of one model at one provider, and the figures that follow from it."""

    __slots__ = ("input_factor", "input_micros_per_byte", "output", "rates", "seen", "tokens_per_byte")

    def __init__(self, rates: Rates) -> None:
        self.rates = rates
        self.seen = 0
        self.tokens_per_byte = _Share(FIRST_TOKENS_PER_BYTE)
        self.input_factor = _Share(FIRST_INPUT_FACTOR)
        self.output = _Share(1.0)
        self.input_micros_per_byte = 0.0
        self.work_out()

    def work_out(self) -> None:
        self.input_micros_per_byte = self.tokens_per_byte.value * self.rates[0] * self.input_factor.value


class Estimator:
    def __init__(self, rates_of: RatesOf) -> None:
        self._rates_of = rates_of
        self._models: dict[tuple[str, str | None], _Model] = {}

    def estimate(self, provider: str, model: str | None, body_bytes: int, max_output: int | None) -> Estimate:
        known = self._models.get((provider, model)) or self._begin(provider, model)
        limit = output_limit(model or "") if max_output is None else max_output
        output_tokens = min(int(limit * known.output.value) + 1, limit)
        body_bytes = min(body_bytes, MAX_COUNTED_BYTES)
        input_tokens = int(body_bytes * known.tokens_per_byte.value) + 1
        micros = int(body_bytes * known.input_micros_per_byte + output_tokens * known.rates[1]) + 1
        return Estimate(input_tokens + output_tokens, micros)

    def wants_to_learn(self, provider: str, model: str | None) -> bool:
        """At first from each answer, then from one in eight."""
        known = self._models.get((provider, model))
        if known is None:
            return False
        known.seen += 1
        return known.seen < LEARNS_ALL_UNTIL or known.seen % 8 == 0

    def learn(
        self,
        provider: str,
        model: str | None,
        *,
        body_bytes: int,
        max_output: int | None,
        input_tokens: int,
        output_tokens: int,
        cost_micros: int | None,
    ) -> None:
        """What a whole answer of that model had used in the end."""
        known = self._models.get((provider, model))
        limit = output_limit(model or "") if max_output is None else max_output
        if known is None or body_bytes <= 0 or limit <= 0:
            return
        known.tokens_per_byte.learn(input_tokens / body_bytes)
        known.output.learn(min(output_tokens / limit, 1.0))
        input_rate, output_rate = known.rates
        if cost_micros is not None and input_tokens and input_rate:
            paid_input = max(cost_micros - output_tokens * output_rate, 0.0)
            known.input_factor.learn(paid_input / (input_tokens * input_rate))
        known.work_out()

    def refresh_rates(self) -> None:
        """Prices may have changed: with the day, or with newer data."""
        for (provider, model), known in self._models.items():
            known.rates = self._rates_of(provider, model or "")
            known.work_out()

    def _begin(self, provider: str, model: str | None) -> _Model:
        if len(self._models) >= MAX_MODELS:
            self._models.clear()
        known = self._models[provider, model] = _Model(self._rates_of(provider, model or ""))
        return known


def output_limit(model: str) -> int:
    """The most a model writes, as far as its name tells."""
    name = model.lower()
    return next((limit for pattern, limit in _OUTPUT_LIMITS if pattern.search(name)), ASSUMED_OUTPUT_TOKENS)
