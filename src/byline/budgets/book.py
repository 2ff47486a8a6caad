"""Which budgets apply to a caller. Worked out once per caller and model, then remembered."""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatchcase
from typing import NamedTuple

from byline.budgets.limits import Budget, Metric, Period

MAX_CALLERS = 8192
"""Names come from clients too, so what is remembered is bounded."""


class Caller(NamedTuple):
    """Who asks, for what, with which model: all that budgets go by."""

    user: str | None = None
    job: str | None = None
    team: str | None = None
    key: str | None = None
    model: str | None = None


NOBODY = Caller()


class Applied(NamedTuple):
    """A budget as it applies to one caller."""

    budget: Budget
    entity: str
    """Whose sum it is: the user's name, the pattern of models, ..."""
    counter: str
    """The sum's name, without its window."""
    metric: Metric
    period: Period | None
    limit: int
    is_hard: bool


class Verdicts(NamedTuple):
    """All that applies to a caller."""

    applied: tuple[Applied, ...] = ()
    """Those that count something."""
    denied_by: tuple[Budget, ...] = ()
    """Those that do not allow the model, hard ones first."""
    uses_money: bool = False
    uses_tokens: bool = False
    has_own_money: bool = False
    """A money budget that the caller is to be told of."""


NOTHING = Verdicts()


class BudgetBook:
    """Immutable but for what it remembers. An exact name beats patterns, a longer pattern a shorter one."""

    def __init__(self, budgets: Iterable[Budget] = ()) -> None:
        self.budgets = tuple(budgets)
        self._ranked = sorted(self.budgets, key=_rank)
        self._known: dict[Caller, Verdicts] = {}

    def __bool__(self) -> bool:
        return bool(self.budgets)

    def verdicts(self, caller: Caller) -> Verdicts:
        known = self._known.get(caller)
        if known is None:
            if len(self._known) >= MAX_CALLERS:
                self._known.clear()
            known = self._known[caller] = self._look_up(caller)
        return known

    def applies(self, budget: Budget, entity: str) -> bool:
        """Whether it is this one of its kind that holds for the user, job, team or key of that name."""
        caller = NOBODY._replace(**{budget.scope: entity})
        return any(applied.budget == budget for applied in self.verdicts(caller).applied)

    def _look_up(self, caller: Caller) -> Verdicts:
        chosen: dict[tuple[str, str], Budget] = {}
        for budget in self._ranked:
            if _covers(budget, caller):
                chosen.setdefault((budget.scope, budget.kind), budget)
        counting = tuple(_applied(budget, caller) for budget in chosen.values() if budget.needs_counter)
        denied = [budget for budget in chosen.values() if _denies(budget, caller.model)]
        money = [each for each in counting if each.metric == "usd"]
        return Verdicts(
            applied=counting,
            denied_by=tuple(sorted(denied, key=lambda budget: budget.mode != "hard")),
            uses_money=bool(money),
            uses_tokens=any(each.metric == "tokens" for each in counting),
            has_own_money=any(each.budget.mode != "shadow" for each in money),
        )


def _rank(budget: Budget) -> tuple[bool, int, str]:
    return budget.is_pattern, -len(budget.name), budget.name


def _covers(budget: Budget, caller: Caller) -> bool:
    if budget.scope == "all":
        return True
    value: str | None = getattr(caller, budget.scope)
    if value is None:
        return False
    if budget.scope == "model":
        return fnmatchcase(value.lower(), budget.name.lower())
    return value == budget.name or fnmatchcase(value, budget.name)


def _denies(budget: Budget, model: str | None) -> bool:
    if budget.metric != "models" or model is None:
        return False
    return not any(fnmatchcase(model.lower(), pattern.lower()) for pattern in budget.models)


def _applied(budget: Budget, caller: Caller) -> Applied:
    shared = budget.scope in ("all", "model")
    entity = budget.name if shared else str(getattr(caller, budget.scope))
    return Applied(
        budget=budget,
        entity=entity,
        counter=counter_name(budget.kind, budget.scope, entity),
        metric=budget.metric,
        period=budget.limit_kind.period,
        limit=budget.amount,
        is_hard=budget.mode == "hard",
    )


def counter_name(kind: str, scope: str, entity: str) -> str:
    return f"{kind}:{scope}:{entity}"
