"""What goes to the store at a time."""

from __future__ import annotations

from byline.usage.journal.entries import Columns
from byline.usage.record import UsageRecord


class Batch:
    """Rows and events on their way to the store, bounded in number and in journal bytes."""

    def __init__(self, max_rows: int, max_bytes: int) -> None:
        self.rows: list[UsageRecord] = []
        self.events: list[Columns] = []
        self.interrupted = 0
        self._room = max_rows
        self._bytes_left = max_bytes
        self._prepared = 0

    @property
    def is_full(self) -> bool:
        return self._room <= 0 or self._bytes_left <= 0

    @property
    def is_empty(self) -> bool:
        return not self.rows and not self.events

    def add_row(self, row: UsageRecord) -> None:
        self.rows.append(row)
        self._room -= 1

    def add_event(self, columns: Columns) -> None:
        self.events.append(columns)
        self._room -= 1

    def weigh(self, size: int) -> None:
        """Count a line that was read, whatever it held."""
        self._bytes_left -= size

    def take_unprepared(self) -> list[UsageRecord]:
        """The rows added since the last call."""
        rows = self.rows[self._prepared :]
        self._prepared = len(self.rows)
        return rows

    def clear(self) -> None:
        """All was delivered. It stays as full as it was."""
        self.rows.clear()
        self.events.clear()
        self.interrupted = self._prepared = 0
