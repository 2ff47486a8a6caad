"""The Ledger port on DuckDB. Reads run side by side; writes, one at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from byline.stores.duckdb import ageing, forgetting, ingest, repricing, schema, user_sql
from byline.stores.duckdb.connection import DuckDBOptions, insert_errors, query_errors, unavailable
from byline.stores.duckdb.copies import backup, export
from byline.stores.duckdb.database import Database
from byline.stores.duckdb.dialect import DuckDBDialect, statement
from byline.usage.batches import first_of_each, last_word_of_each
from byline.usage.columns import EVENT_COLUMNS, PRIVILEGED_PREFIX, USAGE_COLUMNS, USAGE_DEFAULTS
from byline.usage.ledger import (
    ExportQuery,
    Progress,
    Report,
    RepriceQuery,
    RequestsQuery,
    SqlLimits,
    Table,
    UsageQuery,
)
from byline.usage.record import UsageRecord
from byline.usage.reports.plan import plan

_USAGE: Final = ingest.Target(
    table=schema.USAGE_TABLE,
    key="request_id",
    time="started_at",
    columns=USAGE_COLUMNS,
    defaults=USAGE_DEFAULTS,
    replaceable="outcome = 'interrupted'",
)


def _utc_now() -> datetime:
    return datetime.now(UTC)


class DuckDBLedger:
    """Satisfies `byline.usage.ledger.Ledger`. One per process and file."""

    def __init__(
        self,
        options: DuckDBOptions,
        *,
        privileged: Sequence[str] = (),
        now: Callable[[], datetime] = _utc_now,
    ) -> None:
        """`privileged` names the `pii_...` columns of events; any other such key is not stored.

        Raises LedgerUnavailable when another process has the file or a newer Byline wrote it.
        """
        self._options = options
        self._now = now
        self._events = _events_target(privileged)
        self._database = Database(options, lambda connection: schema.migrate(connection, privileged))
        self._dialect = DuckDBDialect(self._aged_until())

    def insert_usage(self, rows: Sequence[UsageRecord]) -> int:
        return self._insert(_USAGE, last_word_of_each(rows))

    def insert_events(self, events: Sequence[Mapping[str, Any]]) -> int:
        return self._insert(self._events, first_of_each(events, "event_id"))

    def _insert(self, target: ingest.Target, rows: Sequence[object]) -> int:
        if not rows:
            return 0
        with self._database.writing() as connection, insert_errors():
            return ingest.insert(connection, target, rows)

    def report(self, query: Report) -> Table:
        planned = plan(query, self._dialect, self._now())
        cursor = self._database.cursor()
        try:
            with self._database.watched(), query_errors():
                rows = cursor.execute(statement(planned), dict(planned.parameters)).fetchall()
                return planned.shape(rows)
        finally:
            cursor.close()

    def usage(self, query: UsageQuery) -> Table:
        return self.report(query)

    def requests(self, query: RequestsQuery) -> Table:
        return self.report(query)

    def sql(self, text: str, limits: SqlLimits) -> Table:
        with self._database.watched():
            return user_sql.run(self._database.cursor(), text, limits)

    def export(self, query: ExportQuery, progress: Progress | None = None) -> Path:
        return export(self._database.cursor(), query, self._options.outbox, self._now(), progress)

    def backup(self, target: Path, progress: Progress | None = None) -> None:
        with self._database.writing() as connection, unavailable():
            backup(connection, self._options, target, progress)

    def retire(self, before: datetime) -> int:
        """Others may read and write between two days."""
        retired = 0
        # From now on sums count as well, also for a question asked just before a day is folded.
        self._dialect = DuckDBDialect(before)
        while True:
            with self._database.writing() as connection, unavailable():
                day = ageing.oldest_day(connection, before)
                if day is None:
                    ageing.drop_events(connection, before)
                    return retired
                retired += ageing.fold(connection, day)

    def forget(self, user: str, pseudonym: str) -> int:
        with self._database.writing() as connection, unavailable():
            return forgetting.forget(connection, user, pseudonym)

    def rows_to_price(self, query: RepriceQuery) -> Iterator[Sequence[UsageRecord]]:
        return repricing.rows(self._database.cursor(), query, self._now())

    def update_costs(self, rows: Sequence[UsageRecord]) -> int:
        with self._database.writing() as connection, unavailable():
            return repricing.update(connection, rows)

    def close(self) -> None:
        self._database.close()

    def _aged_until(self) -> datetime | None:
        cursor = self._database.cursor()
        try:
            with unavailable():
                return ageing.aged_until(cursor)
        finally:
            cursor.close()


def _events_target(privileged: Sequence[str]) -> ingest.Target:
    assert all(name.startswith(PRIVILEGED_PREFIX) for name in privileged)
    return ingest.Target(
        table=schema.EVENTS_TABLE,
        key="event_id",
        time="occurred_at",
        columns={**EVENT_COLUMNS, **dict.fromkeys(privileged, "text")},
    )
