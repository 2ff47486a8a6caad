"""Settings and stored budgets -> what holds them in one worker."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from byline.assembly.budget_prices import BudgetPrices
from byline.assembly.budget_rules import all_budgets, require_store
from byline.assembly.budget_seeds import Seeds, needs_seeds, read_seeds, wait_for
from byline.assembly.data_dir import DataDir
from byline.budgets.book import BudgetBook
from byline.budgets.counters import CounterState, CountersUnavailable
from byline.budgets.estimate import Estimator
from byline.budgets.limits import Budget
from byline.budgets.local import LocalCounters
from byline.budgets.redis_store import RedisCounters
from byline.control.budgets import StoredBudgets
from byline.control.directory import KeyDirectory
from byline.gateway.budgets import BudgetGate, BudgetOptions
from byline.gateway.exchange import Tally
from byline.gateway.worker import Periodic
from byline.settings import Settings, SettingsError
from byline.usage.ledger import LedgerUnavailable, QueryError
from byline.usage.ledger_socket.client import LedgerClient

log = logging.getLogger(__name__)
STATES_INTERVAL_S = 1.0
PRICES_INTERVAL_S = 60.0


class CounterFile(msgspec.Struct, frozen=True):
    """`status/budgets-workerN.json`: its sums, where a worker counts by itself; what passed over limits, and what they refused."""

    written_at: float
    states: list[CounterState]
    over: dict[str, int]
    refused: dict[str, int] = {}


class WorkerBudgets:
    """The gate of one worker, with all that keeps it right."""

    def __init__(self, settings: Settings, data_dir: DataDir, directory: KeyDirectory, number: int) -> None:
        self.tally = Tally()
        self._settings = settings
        self._data_dir = data_dir
        self._stored = StoredBudgets(data_dir.control)
        self._prices = BudgetPrices(settings)
        self.local = None if settings.counters.url else LocalCounters()
        self.shared = open_shared_counters(settings)
        self._file = data_dir.status / f"budgets-worker{number}.json"
        self._updating: asyncio.Task[None] | None = None
        self._seeded: set[tuple[str, str, str]] = set()
        self._estimator = Estimator(self._prices.rates_of)
        self.gate = BudgetGate(
            local=self.local,
            shared=self.shared,
            estimator=self._estimator,
            cost_of=self._prices.cost_of,
            contact_for=_contacts(settings, directory),
            tally=self.tally,
            options=BudgetOptions(settings.counters.on_failure, settings.budgets.strip_upstream_quota),
        )

    async def start(self) -> None:
        """The budgets that are there now hold from the first request on. Raises SettingsError."""
        await self._take_up(all_budgets(self._settings, self._stored.news() or []))

    def look(self) -> None:
        """For budgets that were changed while serving."""
        if self._updating is not None and not self._updating.done():
            return
        stored = self._stored.news()
        if stored is not None:
            self._updating = asyncio.ensure_future(self._take_up(all_budgets(self._settings, stored)))

    def problems(self) -> list[str]:
        """For /readyz."""
        if self.shared is not None and self.shared.trouble is not None:
            return ["the counter store of budgets can't be asked"]
        return []

    def periodics(self) -> list[Periodic]:
        found = [
            Periodic(self._settings.keys.poll_interval, self.look),
            Periodic(PRICES_INTERVAL_S, self._refresh_prices),
        ]
        if self.shared is not None:
            found.append(Periodic(self._settings.counters.lease / 3, self.shared.renew))
        return [*found, Periodic(STATES_INTERVAL_S, self._write_states)]

    async def close(self) -> None:
        """What is being taken up ends first: it works on what is closed here and by the caller next."""
        if self._updating is not None:
            self._updating.cancel()
            await asyncio.wait([self._updating])
        self._stored.close()
        if self.shared is not None:
            await self.shared.close()

    async def _take_up(self, budgets: list[Budget]) -> None:
        """New sums begin with what is used already; until then the old budgets hold."""
        loop = asyncio.get_running_loop()
        book = BudgetBook(budgets)
        if any(budget.metric == "usd" for budget in budgets) and not self._prices.is_loaded:
            await self._take_prices()
        new = [budget for budget in budgets if budget.identity not in self._seeded]
        if needs_seeds(new):
            seeds = await loop.run_in_executor(None, self._read_seeds, BudgetBook(budgets))
            await self._plant(seeds)
        self._seeded = {budget.identity for budget in budgets}
        self.gate.book = book
        if budgets:
            log.info("holding %d budget%s", len(budgets), "" if len(budgets) == 1 else "s")

    def _read_seeds(self, book: BudgetBook) -> Seeds:
        now = time.time()
        client = LedgerClient(self._data_dir.socket, wait_s=0)
        there = wait_for(client.is_answered, self._settings.budgets.seed_timeout)
        if not there:
            log.warning("the ledger does not answer: budgets begin with what the journal holds")
        try:
            return read_seeds(
                book, client if there else None, self._data_dir.journal, now, self._prices.cost_of
            )
        except (LedgerUnavailable, QueryError) as error:
            log.warning("the ledger can't say what is used (%s): budgets begin with the journal", error)
            return read_seeds(book, None, self._data_dir.journal, now, self._prices.cost_of)

    async def _plant(self, seeds: Seeds) -> None:
        if self.local is not None:
            for seed in seeds.sums:
                self.local.seed(seed.counter, seed.window, seed.used)
            for counter, amounts in seeds.seconds.items():
                self.local.seed_minute(counter, amounts)
        elif self.shared is not None:
            try:
                await self.shared.seed(
                    (seed.counter, seed.window.name, seed.used, seed.window.ends_at) for seed in seeds.sums
                )
            except CountersUnavailable as error:
                log.warning("the counter store could not be told what is used: %s", error)

    def _refresh_prices(self) -> None:
        if self._prices.is_loaded and (self._updating is None or self._updating.done()):
            self._updating = asyncio.ensure_future(self._take_prices())

    async def _take_prices(self) -> None:
        await asyncio.get_running_loop().run_in_executor(None, self._prices.load)
        self._prices.forget_rates()
        self._estimator.refresh_rates()

    def _write_states(self) -> None:
        if not self.gate.book:
            return
        now, states = time.time(), list[CounterState]()
        if self.local is not None:
            self.local.prune(now)
            states = list(self.local.states(now))
        kept = CounterFile(now, states, dict(self.gate.over), dict(self.gate.refused))
        fresh = self._file.with_suffix(".tmp")
        try:
            fresh.write_bytes(msgspec.json.encode(kept))
            fresh.replace(self._file)
        except OSError:
            return


def check_budgets(settings: Settings, control: Path) -> None:
    """What can never hold is said before anything starts. Raises SettingsError."""
    stored = StoredBudgets(control)
    try:
        require_store(settings, all_budgets(settings, stored.news() or []))
    finally:
        stored.close()
    open_shared_counters(settings)


def open_shared_counters(settings: Settings) -> RedisCounters | None:
    counters = settings.counters
    if not counters.url:
        return None
    try:
        return RedisCounters(
            counters.url, prefix=counters.prefix, lease_s=counters.lease, timeout_s=counters.timeout
        )
    except (CountersUnavailable, ValueError) as error:
        raise SettingsError(f"counters.url: {error}") from None


def _contacts(settings: Settings, directory: KeyDirectory) -> Callable[[Budget, str], str]:
    def contact_for(budget: Budget, entity: str) -> str:
        if budget.contact:
            return budget.contact
        job = directory.job(entity) if budget.scope == "job" else None
        return job.owner.email or job.owner.username if job else settings.budgets.contact

    return contact_for


def read_counter_files(status: Path) -> list[CounterFile]:
    found: list[CounterFile] = []
    for path in sorted(status.glob("budgets-worker*.json")):
        try:
            found.append(msgspec.json.decode(path.read_bytes(), type=CounterFile))
        except (OSError, msgspec.MsgspecError):
            continue
    return found
