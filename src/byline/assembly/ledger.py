"""Settings -> the ledger: the process that owns the store, and what the command line reads through."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable, Generator
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

from byline.assembly.console import beside_the_ledger
from byline.assembly.data_dir import DataDir, open_data_dir
from byline.assembly.events import personal_columns
from byline.control.database import open_control
from byline.control.jobs import JobOwners, list_jobs
from byline.settings import Settings, SettingsError
from byline.usage import ledger_process
from byline.usage.data_lock import DataLock
from byline.usage.journal import DrainOptions, drain_all
from byline.usage.ledger import (
    CostLedger,
    Ledger,
    LedgerAccess,
    LedgerUnavailable,
    PriceSources,
    Progress,
    QueryError,
    RepriceQuery,
    Table,
)
from byline.usage.ledger_process import deliver_to
from byline.usage.ledger_socket.client import LedgerClient
from byline.usage.record import UsageRecord

if TYPE_CHECKING:
    from byline.usage.prices.book import PriceBook
    from byline.usage.prices.files import CurrentPrices, PriceFiles

# The price data takes a quarter of a second to load, so only the process that owns the store does.

WAIT_S: Final = 5.0
"""How long a command waits for a ledger process that restarts."""
_PAUSE_S: Final = 0.05


def open_ledger(settings: Settings, *, wait_s: float = WAIT_S) -> LedgerAccess:
    """Through the server if one runs; else the journal is drained and the store opened here.

    Raises LedgerUnavailable when neither can be had for `wait_s`. The caller closes it.
    """
    data_dir = open_data_dir(settings)
    client = LedgerClient(data_dir.socket, wait_s=wait_s)
    deadline = time.monotonic() + wait_s
    while not client.is_answered():
        try:
            return _open_alone(settings, data_dir)
        except LedgerUnavailable:
            if time.monotonic() >= deadline:
                raise
        time.sleep(_PAUSE_S)
    return client


def run_ledger(settings: Settings, *, ready: Callable[[], None] | None = None) -> None:
    """The ledger process: until SIGTERM."""
    data_dir = open_data_dir(settings)
    prices = current_prices(settings)
    store = open_store(settings, data_dir)
    with _daily_prices(settings):
        ledger_process.run(
            store,
            journal=data_dir.journal,
            socket=data_dir.socket,
            price=prices,
            reprice=partial(_reprice_if_agreed, store, prices, price_sources(settings)),
            retention_s=settings.ledger.retention or None,
            options=DrainOptions(interval_s=settings.ledger.drain_interval),
            beside=partial(beside_the_ledger, settings, data_dir),
            ready=ready,
        )


class Store(Ledger, CostLedger, Protocol):
    """What an engine offers to the process that owns it."""


def open_store(settings: Settings, data_dir: DataDir) -> Store:
    """The configured engine, opened by this process alone. Raises LedgerUnavailable."""
    match settings.ledger.engine:
        case "duckdb":
            return _open_duckdb(settings, data_dir.ledger)
        case engine:
            raise SettingsError(f'ledger.engine = "{engine}" is not supported yet: write "duckdb"')


def current_prices(settings: Settings) -> CurrentPrices:
    """Puts the cost on a row, by prices that follow `byline prices update`."""
    from byline.usage.prices.files import CurrentPrices

    try:
        return CurrentPrices(price_files(settings), time.monotonic)
    except ValueError as error:
        raise SettingsError(str(error)) from error


def price_files(settings: Settings) -> PriceFiles:
    from byline.usage.prices.files import PriceFiles

    return PriceFiles(
        directory=settings.data_dir / "prices",
        overrides_file=settings.prices.overrides_file,
        price_lists={
            name: given.price_list for name, given in settings.providers.items() if given.price_list
        },
    )


def price_sources(settings: Settings) -> PriceSources:
    files = price_files(settings)
    # Not resolved: a link that is pointed elsewhere is still the same setting.
    own = os.path.abspath(files.overrides_file) if files.overrides_file else None  # noqa: PTH100
    return PriceSources(own, files.price_lists)


@contextmanager
def _daily_prices(settings: Settings) -> Generator[None]:
    """Newer prices fetched in the background, where `prices.auto_update` asks for that."""
    if not settings.prices.auto_update:
        yield
        return
    from byline.usage.prices.daily import DailyUpdate

    daily = DailyUpdate(price_files(settings), settings.prices.update_url, lambda: datetime.now(UTC))
    daily.start()
    try:
        yield
    finally:
        daily.stop()


def job_owners(settings: Settings) -> Callable[[str], str | None]:
    """Job -> the username of its owner."""
    with open_control(open_data_dir(settings).control) as control:
        owners = JobOwners(list_jobs(control))

    def owner(job: str) -> str | None:
        found = owners.find(job)
        return found.owner.username if found else None

    return owner


def backup_control(settings: Settings, directory: Path) -> None:
    """A consistent copy of keys, actors and jobs, whoever is writing."""
    source = open_data_dir(settings).control
    if not source.exists():
        return
    target = directory / source.name
    target.touch(mode=0o600)
    with closing(sqlite3.connect(source)) as reading, closing(sqlite3.connect(target)) as writing:
        reading.backup(writing)


def _reprice_if_agreed(
    store: CostLedger,
    prices: CurrentPrices,
    sources: PriceSources,
    query: RepriceQuery,
    dry_run: bool,
    progress: Progress | None,
) -> Table:
    """For a command with settings of its own, which may have changed since the server read them."""
    if query.priced_by not in (None, sources):
        raise QueryError(_disagreement(sources, query.priced_by))
    return _reprice(store, prices, query, dry_run, progress)


def _disagreement(running: PriceSources, asked: PriceSources) -> str:
    if running.overrides_file != asked.overrides_file:
        what, has, wants = "prices.overrides_file", running.overrides_file, asked.overrides_file
    else:
        what, has, wants = "price_list of providers", dict(running.price_lists), dict(asked.price_lists)
    return (
        f"the running server holds other prices than these settings ({what} is {has or 'not set'} there, "
        f"{wants or 'not set'} here): nothing was changed. Restart byline serve, which loses no row, and reprice again; "
        "or, if only the directory differs, run this where the server was started"
    )


def _reprice(
    store: CostLedger,
    prices: CurrentPrices | _PricesWhenNeeded,
    query: RepriceQuery,
    dry_run: bool,
    progress: Progress | None,
) -> Table:
    from byline.usage.prices.reprice import reprice

    try:
        book = prices.newest()
    except ValueError as error:
        raise QueryError(f"nothing was changed: {error}") from error
    return reprice(store, book, query, dry_run=dry_run, progress=progress)


def _open_duckdb(settings: Settings, path: Path) -> Store:
    try:
        from byline.stores.duckdb.connection import DuckDBOptions
        from byline.stores.duckdb.ledger import DuckDBLedger
    except ModuleNotFoundError as error:
        raise SettingsError("the embedded ledger needs DuckDB: pip install 'byline[gateway]'") from error
    return DuckDBLedger(
        DuckDBOptions(path=path, memory_limit=settings.ledger.memory_limit, threads=settings.ledger.threads),
        privileged=personal_columns(settings),
    )


def _open_alone(settings: Settings, data_dir: DataDir) -> LedgerAccess:
    """The store in this process, what the journal holds included."""
    lock = DataLock(data_dir.root / "lock", "a byline command")
    try:
        prices = _PricesWhenNeeded(settings)
        ledger = open_store(settings, data_dir)
        try:
            drain_all(data_dir.root, deliver_to(ledger), prepare=prices)
        except BaseException:
            ledger.close()
            raise
    except BaseException:
        lock.close()
        raise
    return _Locked(ledger, lock, prices)


class _PricesWhenNeeded:
    """Loads the price data for the first row that wants a cost: most commands only read."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def __call__(self, record: UsageRecord) -> None:
        self._prices(record)

    def newest(self) -> PriceBook:
        return self._prices.newest()

    @cached_property
    def _prices(self) -> CurrentPrices:
        return current_prices(self._settings)


class _Locked:
    """A ledger with the lock that keeps servers out until it is closed."""

    def __init__(self, ledger: Store, lock: DataLock, prices: _PricesWhenNeeded) -> None:
        self._ledger, self._lock, self._prices = ledger, lock, prices
        self.report = ledger.report
        self.usage = ledger.usage
        self.requests = ledger.requests
        self.sql = ledger.sql
        self.export = ledger.export
        self.backup = ledger.backup
        self.forget = ledger.forget

    def reprice(
        self, query: RepriceQuery, *, dry_run: bool = False, progress: Progress | None = None
    ) -> Table:
        return _reprice(self._ledger, self._prices, query, dry_run, progress)

    def close(self) -> None:
        with suppress(LedgerUnavailable):
            self._ledger.close()
        self._lock.close()
