"""Budgets from both places they are written in: the settings file and the control database."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import cast

from byline.budgets.limits import KINDS, Budget, Mode, ScopeKind, checked, micros
from byline.control.budgets import StoredBudget
from byline.control.keys import bare_key_id
from byline.settings import BudgetSettings, Settings, SettingsError

_SCOPES: tuple[ScopeKind, ...] = ("user", "job", "team", "key", "model")


def all_budgets(settings: Settings, stored: Iterable[StoredBudget]) -> list[Budget]:
    """A stored one wins over one in the file. Raises SettingsError for one in the file that can't work."""
    written = {budget.identity: budget for budget in written_budgets(settings)}
    return [*(written | {budget.identity: budget for budget in map(from_stored, stored)}).values()]


def written_budgets(settings: Settings) -> list[Budget]:
    found: list[Budget] = []
    for name, section in settings.budgets.named.items():
        try:
            limits = [checked(budget) for budget in _of_section(section)]
        except ValueError as error:
            raise SettingsError(f"[budgets.{name}]: {error}") from None
        if not limits:
            raise SettingsError(f"[budgets.{name}] limits nothing: write one or more of {', '.join(KINDS)}")
        found += limits
    return found


def from_stored(stored: StoredBudget) -> Budget:
    return Budget(
        scope=cast("ScopeKind", stored.scope),
        name=stored.name,
        kind=stored.kind,
        amount=stored.amount,
        models=stored.models,
        mode=cast("Mode", stored.mode),
        contact=stored.contact,
    )


def to_stored(budget: Budget) -> StoredBudget:
    return StoredBudget(
        scope=budget.scope,
        name=budget.name,
        kind=budget.kind,
        amount=budget.amount,
        models=budget.models,
        mode=budget.mode,
        contact=budget.contact,
    )


def require_store(settings: Settings, budgets: Iterable[Budget]) -> None:
    """Raises SettingsError where a hard limit could be passed by as many times as there are workers."""
    if settings.gateway.workers == 1 or settings.counters.url:
        return
    for budget in budgets:
        if budget.mode == "hard" and budget.needs_counter:
            raise SettingsError(
                f"the hard limit {budget.kind} of {budget.scope} {budget.name or 'everybody'} can't hold with "
                f"gateway.workers = {settings.gateway.workers} and counters in each: set counters.url to a Redis or "
                "Valkey server, run one worker, or make the budget soft"
            )


def _of_section(section: BudgetSettings) -> Iterator[Budget]:
    scope = next((scope for scope in _SCOPES if getattr(section, scope)), "all")
    name: str = "" if scope == "all" else getattr(section, scope)
    for kind in KINDS.values():
        value = getattr(section, kind.name)
        if value is None or value == ():
            continue
        yield Budget(
            scope=cast("ScopeKind", scope),
            name=bare_key_id(name) if scope == "key" else name,
            kind=kind.name,
            amount=0 if kind.metric == "models" else micros(value) if kind.metric == "usd" else value,
            models=value if kind.metric == "models" else (),
            mode=section.mode,
            contact=section.contact or None,
        )
