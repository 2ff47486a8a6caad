"""The Ledger port: where records are kept and queried. Engines live in `byline.stores`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol

import msgspec

from byline.usage.record import UsageRecord

Dimension = str
"""One of `DIMENSIONS`: what `byline usage --by` may group by."""
DIMENSIONS: tuple[Dimension, ...] = (
    "user", "team", "job", "model", "provider", "day", "hour", "session", "client", "outcome",
)


class Table(msgspec.Struct, frozen=True):
    """An answer: column names and rows of plain values (str, int, float, Decimal, datetime, None)."""

    columns: tuple[str, ...]
    rows: list[tuple[Any, ...]]

    def dicts(self) -> list[dict[str, Any]]:
        return [dict(zip(self.columns, row, strict=True)) for row in self.rows]


class UsageQuery(msgspec.Struct, frozen=True, kw_only=True):
    """`since` inclusive, `until` exclusive, both aware; `timezone` decides where a day begins."""

    by: tuple[Dimension, ...]
    since: datetime
    until: datetime | None = None
    timezone: str = "UTC"
    where: Mapping[str, str] = {}
    """Column -> value it must equal."""
    include_client_credential: bool = False
    """Count notional cost of calls paid with the client's own credential as spend."""


class RequestsQuery(msgspec.Struct, frozen=True, kw_only=True):
    since: datetime
    until: datetime | None = None
    user: str | None = None
    job: str | None = None
    session: str | None = None
    outcome: str | None = None
    identifier: str | None = None
    limit: int = 50


class SqlLimits(msgspec.Struct, frozen=True):
    timeout_s: float = 30.0
    max_rows: int = 100_000


class LedgerUnavailable(RuntimeError):
    """The store can't be reached or refused the work for now: keep the rows and try again."""


class Ledger(Protocol):
    """Every engine keeps these promises; `tests/contract` holds each engine to them.

    Inserts are durable on return and idempotent by `request_id` (`event_id`). A row with any other
    outcome replaces an `interrupted` row of the same id; nothing else is ever replaced by an insert.
    """

    def insert_usage(self, rows: Sequence[UsageRecord]) -> int:
        """Returns how many rows were new or replaced an interrupted one."""
        ...

    def insert_events(self, events: Sequence[Mapping[str, Any]]) -> int: ...
    def usage(self, query: UsageQuery) -> Table: ...
    def requests(self, query: RequestsQuery) -> Table: ...
    def sql(self, text: str, limits: SqlLimits) -> Table:
        """One SELECT, read-only, bounded. Raises ValueError with the engine's message."""
        ...

    def close(self) -> None: ...
