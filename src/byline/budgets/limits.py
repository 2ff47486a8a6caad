"""What a budget is: one limit, for one scope, with a mode."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import ROUND_CEILING, Decimal
from typing import Final, Literal, cast, get_args

import msgspec

ScopeKind = Literal["user", "job", "team", "key", "model", "all"]
Mode = Literal["hard", "soft", "shadow"]
Metric = Literal["usd", "tokens", "requests", "concurrency", "models"]
Period = Literal["minute", "hour", "day", "week", "month"]
SCOPE_KINDS: Final = cast("tuple[ScopeKind, ...]", get_args(ScopeKind))
MODES: Final = cast("tuple[Mode, ...]", get_args(Mode))

MICROS_PER_USD: Final = 1_000_000
"""Money is counted in whole millionths of a dollar: exact in Redis's numbers up to nine billion."""
LARGEST_AMOUNT: Final = 2**53 - 1


class LimitKind(msgspec.Struct, frozen=True):
    name: str
    metric: Metric
    period: Period | None
    """None: it counts what is under way, or nothing at all."""


KINDS: Final[Mapping[str, LimitKind]] = {
    kind.name: kind
    for kind in (
        LimitKind("usd_per_hour", "usd", "hour"),
        LimitKind("usd_per_day", "usd", "day"),
        LimitKind("usd_per_week", "usd", "week"),
        LimitKind("usd_per_month", "usd", "month"),
        LimitKind("requests_per_minute", "requests", "minute"),
        LimitKind("tokens_per_minute", "tokens", "minute"),
        LimitKind("concurrency", "concurrency", None),
        LimitKind("models", "models", None),
    )
}


_WILDCARDS: Final = frozenset("*?[")


class Budget(msgspec.Struct, frozen=True, kw_only=True):
    """One limit. `name` may be a pattern such as `nightly-*`; each that matches has a sum of its own.

    For `model`, all names that match share one sum, because one model has many spellings. For `all`
    there is no name: everything the gateway sends shares the sum.
    """

    scope: ScopeKind
    name: str = ""
    kind: str
    amount: int = 0
    """Millionths of a dollar, tokens, requests, or requests at once."""
    models: tuple[str, ...] = ()
    """For `kind="models"`: the patterns that are allowed."""
    mode: Mode = "hard"
    contact: str | None = None
    """Whom to ask for more."""

    @property
    def limit_kind(self) -> LimitKind:
        return KINDS[self.kind]

    @property
    def metric(self) -> Metric:
        return KINDS[self.kind].metric

    @property
    def identity(self) -> tuple[str, str, str]:
        """What there is only one of."""
        return self.scope, self.name, self.kind

    @property
    def is_pattern(self) -> bool:
        return not _WILDCARDS.isdisjoint(self.name)

    @property
    def needs_counter(self) -> bool:
        return self.metric != "models"


def checked(budget: Budget) -> Budget:
    """`budget`, if it can work. Raises ValueError that says what to write instead."""
    if budget.kind not in KINDS:
        raise ValueError(f"{budget.kind!r} is no limit: choose among {', '.join(KINDS)}")
    if budget.scope not in SCOPE_KINDS:
        raise ValueError(f"{budget.scope!r} is no scope: choose among {', '.join(SCOPE_KINDS)}")
    if budget.mode not in MODES:
        raise ValueError(f"{budget.mode!r} is no mode: choose among {', '.join(MODES)}")
    if bool(budget.name) == (budget.scope == "all"):
        raise ValueError("`all` takes no name; every other scope takes one, and `*` means each of them")
    if budget.kind == "models" and not budget.models:
        raise ValueError("no model is named: give at least one, such as claude-haiku-*")
    if budget.needs_counter and not 0 <= budget.amount <= LARGEST_AMOUNT:
        raise ValueError(f"the amount of {budget.kind} must be from 0 to {LARGEST_AMOUNT}")
    return budget


def micros(usd: Decimal) -> int:
    """Rounded up, so that a sum of rounded costs is never below the true one."""
    return int((usd * MICROS_PER_USD).to_integral_value(ROUND_CEILING))


def usd(amount: int) -> Decimal:
    return Decimal(amount) / MICROS_PER_USD


def describe_amount(budget: Budget) -> str:
    """`$5.00 per day`, `60 requests per minute`, `4 requests at once`."""
    kind = budget.limit_kind
    match kind.metric:
        case "usd":
            return f"${dollars(budget.amount)} per {kind.period}"
        case "concurrency":
            return f"{budget.amount:,} requests at once"
        case "models":
            return f"models {', '.join(budget.models)}"
        case _:
            return f"{budget.amount:,} {kind.metric} per {kind.period}"


def dollars(amount: int) -> str:
    """At least cents, and as many places as a small amount needs."""
    exact = f"{usd(amount):f}"
    whole, _, places = exact.partition(".")
    return f"{int(whole):,}.{places.rstrip('0').ljust(2, '0')}"
