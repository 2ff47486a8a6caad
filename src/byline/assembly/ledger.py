"""Settings -> the ledger: the process that owns the store, and what the command line reads through."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

from byline.assembly.data_dir import DataDir, open_data_dir
from byline.control.database import open_control
from byline.control.jobs import JobOwners, list_jobs
from byline.settings import Settings, SettingsError
from byline.usage import ledger_process
from byline.usage.data_lock import DataLock
from byline.usage.journal import DrainOptions, drain_all
from byline.usage.ledger import Ledger, LedgerReader, LedgerUnavailable
from byline.usage.ledger_process import deliver_to
from byline.usage.ledger_socket.client import LedgerClient
from byline.usage.prices.files import CurrentPrices, PriceFiles

WAIT_S: Final = 5.0
"""How long a command waits for a ledger process that restarts."""
_PAUSE_S: Final = 0.05


def open_ledger(settings: Settings, *, wait_s: float = WAIT_S) -> LedgerReader:
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
    ledger_process.run(
        open_store(settings, data_dir),
        journal=data_dir.journal,
        socket=data_dir.socket,
        price=current_prices(settings),
        options=DrainOptions(interval_s=settings.ledger.drain_interval),
        ready=ready,
    )


def open_store(settings: Settings, data_dir: DataDir) -> Ledger:
    """The configured engine, opened by this process alone. Raises LedgerUnavailable."""
    match settings.ledger.engine:
        case "duckdb":
            return _open_duckdb(settings, data_dir.ledger)
        case engine:
            raise SettingsError(f'ledger.engine = "{engine}" is not supported yet: write "duckdb"')


def current_prices(settings: Settings) -> CurrentPrices:
    """Puts the cost on a row, by prices that follow `byline prices update`."""
    files = PriceFiles(
        directory=settings.data_dir / "prices",
        overrides_file=settings.prices.overrides_file,
        price_lists={
            name: given.price_list for name, given in settings.providers.items() if given.price_list
        },
    )
    try:
        return CurrentPrices(files, time.monotonic)
    except ValueError as error:
        raise SettingsError(str(error)) from error


def job_owners(settings: Settings) -> Callable[[str], str | None]:
    """Job -> the username of its owner."""
    with open_control(open_data_dir(settings).control) as control:
        owners = JobOwners(list_jobs(control))

    def owner(job: str) -> str | None:
        found = owners.find(job)
        return found.owner.username if found else None

    return owner


def _open_duckdb(settings: Settings, path: Path) -> Ledger:
    try:
        from byline.stores.duckdb.connection import DuckDBOptions
        from byline.stores.duckdb.ledger import DuckDBLedger
    except ModuleNotFoundError as error:
        raise SettingsError("the embedded ledger needs DuckDB: pip install 'byline[gateway]'") from error
    return DuckDBLedger(
        DuckDBOptions(path=path, memory_limit=settings.ledger.memory_limit, threads=settings.ledger.threads)
    )


def _open_alone(settings: Settings, data_dir: DataDir) -> LedgerReader:
    """The store in this process, what the journal holds included."""
    lock = DataLock(data_dir.root / "lock", "a byline command")
    try:
        ledger = open_store(settings, data_dir)
        try:
            drain_all(data_dir.root, deliver_to(ledger), prepare=current_prices(settings))
        except BaseException:
            ledger.close()
            raise
    except BaseException:
        lock.close()
        raise
    return _Locked(ledger, lock)


class _Locked:
    """A ledger with the lock that keeps servers out until it is closed."""

    def __init__(self, ledger: Ledger, lock: DataLock) -> None:
        self._ledger, self._lock = ledger, lock
        self.report = ledger.report
        self.usage = ledger.usage
        self.requests = ledger.requests
        self.sql = ledger.sql
        self.export = ledger.export
        self.backup = ledger.backup

    def close(self) -> None:
        with suppress(LedgerUnavailable):
            self._ledger.close()
        self._lock.close()
