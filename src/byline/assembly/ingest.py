"""Settings -> rows that wait in journals brought into the ledger."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from byline.assembly.data_dir import open_data_dir
from byline.assembly.ledger import current_prices, open_store
from byline.settings import Settings, SettingsError
from byline.usage.data_lock import DataDirInUse, DataLock
from byline.usage.journal import Drained, JournalOptions, JournalWriter, drain_all, new_writer_id
from byline.usage.journal.segments import list_segments
from byline.usage.ledger import LedgerUnavailable
from byline.usage.ledger_process import deliver_to
from byline.usage.record import UsageRecord


def ingest(settings: Settings) -> Drained | None:
    """What waits in the own journal, into the store. None where a server is at that already."""
    data_dir = open_data_dir(settings)
    try:
        lock = DataLock(data_dir.root / "lock", "a byline command")
    except DataDirInUse:
        return None
    try:
        store = open_store(settings, data_dir)
        try:
            return drain_all(data_dir.root, deliver_to(store), prepare=current_prices(settings))
        finally:
            store.close()
    finally:
        lock.close()


def take_over(settings: Settings, source: Path) -> Drained:
    """Another data directory's journal into the own one; emptied only as far as that is on the disk."""
    own = open_data_dir(settings)
    if source.resolve() == own.root:
        raise SettingsError(f"{source} is the data directory itself; leave it out")
    if not (source / "journal").is_dir():
        raise SettingsError(f"{source} has no journal; name a data directory, such as byline-data")
    try:
        lock = DataLock(source / "lock", "a byline command")
    except DataDirInUse as error:
        raise LedgerUnavailable(f"{error}; stop it first, or leave its rows to it") from None
    appending = _Appending(own.journal)
    try:
        return drain_all(source, appending)
    finally:
        appending.close()
        lock.close()


def _never(_delay_s: float, _callback: Callable[[], object]) -> None:
    """No second try: what is refused here ends the command."""


class _Appending:
    """Delivers to a journal: what returned is on the disk."""

    def __init__(self, directory: Path) -> None:
        self._due: list[Callable[[], object]] = []
        self._directory, self._name = directory, new_writer_id("ingest")
        self._writer = JournalWriter(
            directory,
            self._name,
            call_soon=self._due.append,
            call_later=_never,
            options=JournalOptions(on_failure="fail_closed"),
            now=time.monotonic,
        )

    def __call__(self, rows: Sequence[UsageRecord], events: Sequence[dict[str, object]]) -> None:
        for row in rows:
            self._writer.append_end(row)
        for event in events:
            self._writer.append_event(event)
        while self._due:
            self._due.pop(0)()
        trouble = self._writer.trouble()
        if trouble is not None:
            raise LedgerUnavailable(f"the journal can't be written: {trouble.reason}")

        self._sync()

    def _sync(self) -> None:
        """Now, not when the writer gets to it: the source is deleted next."""
        for segment in list_segments(self._directory).get(self._name, ()):
            with segment.path.open("rb") as file:
                os.fdatasync(file.fileno())

    def close(self) -> None:
        self._writer.close()
