"""How far budgets are used: from a running worker, from the shared store, else from the ledger."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from byline.assembly.budget_prices import BudgetPrices
from byline.assembly.budget_seeds import read_seeds
from byline.assembly.budgets import CounterFile, open_shared_counters, read_counter_files
from byline.assembly.data_dir import open_data_dir
from byline.assembly.ledger import open_ledger
from byline.budgets.book import BudgetBook, counter_name
from byline.budgets.counters import CounterState, CountersUnavailable
from byline.budgets.limits import Budget
from byline.budgets.periods import window_at
from byline.settings import Settings, SettingsError
from byline.usage.record import UsageRecord

FRESH_S = 5.0


class BudgetUse(NamedTuple):
    budget: Budget
    entity: str
    used: int
    held: int
    resets_at: float | None
    refused: int | None
    """By this machine's workers since they began. None where nobody counts it: no worker runs."""
    would_have_refused: int | None
    """The same for soft and shadow ones."""


class _Refusals:
    """What the workers that run now have counted; nothing where none does."""

    def __init__(self, files: list[CounterFile]) -> None:
        self._is_counted = bool(files)
        self._refused, self._over = Counter[str](), Counter[str]()
        for file in files:
            self._refused.update(file.refused)
            self._over.update(file.over)

    def of(self, counter: str) -> tuple[int | None, int | None]:
        return (self._refused[counter], self._over[counter]) if self._is_counted else (None, None)


def budget_status(settings: Settings, budgets: Iterable[Budget], now: float) -> list[BudgetUse]:
    """Raises SettingsError where the shared store can't be asked."""
    known = list(budgets)
    counting = [budget for budget in known if budget.needs_counter]
    files = _fresh(settings, now)
    refusals = _Refusals(files)
    found = [*_uses(counting, _states(settings, counting, files, now), refusals, now)]
    return found + [_denials(budget, refusals) for budget in known if not budget.needs_counter]


def _states(
    settings: Settings, budgets: list[Budget], files: list[CounterFile], now: float
) -> list[CounterState]:
    if not budgets:
        return []
    if settings.counters.url:
        return asyncio.run(_shared_states(settings))
    if files:
        return [state for file in files for state in file.states]
    return list(_from_ledger(settings, budgets, now))


def _uses(
    budgets: list[Budget], states: list[CounterState], refusals: _Refusals, now: float
) -> Iterator[BudgetUse]:
    for budget in budgets:
        window = _window(budget, now)
        seen: set[str] = set()
        for state in states:
            kind, scope, entity = state.counter.split(":", 2)
            if (kind, scope) != (budget.kind, budget.scope) or state.window != window[0]:
                continue
            if _decides(budgets, budget, entity):
                seen.add(entity)
                yield BudgetUse(
                    budget, entity, state.used, state.held, window[1], *refusals.of(state.counter)
                )
        if budget.name not in seen and not (set("*?[") & set(budget.name) and budget.scope != "model"):
            yield BudgetUse(budget, budget.name, 0, 0, window[1], *refusals.of(_counter(budget)))


def _denials(budget: Budget, refusals: _Refusals) -> BudgetUse:
    """Of models that may not be used: there is no sum, only what was turned away."""
    return BudgetUse(budget, budget.name, 0, 0, None, *refusals.of(_counter(budget)))


def _counter(budget: Budget) -> str:
    return counter_name(budget.kind, budget.scope, budget.name)


def _decides(budgets: list[Budget], budget: Budget, entity: str) -> bool:
    """Whether it is this one, of several of the kind, that holds for the entity."""
    if budget.scope in ("all", "model"):
        return entity == budget.name
    rivals = [each for each in budgets if (each.scope, each.kind) == (budget.scope, budget.kind)]
    return BudgetBook(rivals).applies(budget, entity)


def _window(budget: Budget, now: float) -> tuple[str, float | None]:
    period = budget.limit_kind.period
    if period is None or period == "minute":
        return "", None
    window = window_at(period, now)
    return window.name, window.ends_at


def _fresh(settings: Settings, now: float) -> list[CounterFile]:
    files = read_counter_files(open_data_dir(settings).status)
    return [file for file in files if now - file.written_at < FRESH_S]


async def _shared_states(settings: Settings) -> list[CounterState]:
    store = open_shared_counters(settings)
    assert store is not None
    try:
        return await store.states()
    except CountersUnavailable as error:
        raise SettingsError(f"the counter store can't be asked ({error}); check counters.url") from None
    finally:
        await store.close()


def _from_ledger(settings: Settings, budgets: list[Budget], now: float) -> Iterator[CounterState]:
    ledger, prices = open_ledger(settings), BudgetPrices(settings)

    def price(record: UsageRecord) -> int | None:
        """Only rows that the ledger doesn't have yet need it."""
        if not prices.is_loaded:
            prices.load()
        return prices.cost_of(record)

    try:
        seeds = read_seeds(BudgetBook(budgets), ledger, open_data_dir(settings).journal, now, price)
    finally:
        ledger.close()
    for seed in seeds.sums:
        yield CounterState(seed.counter, seed.window.name, seed.used, 0)
    for counter, seconds in seeds.seconds.items():
        recent = sum(amount for second, amount in seconds.items() if second > time.time() - 60)
        yield CounterState(counter, "", recent, 0)
