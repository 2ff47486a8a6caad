"""The Ledger port: where records are kept and queried. Engines live in `byline.stores`.

A question is a value (`UsageQuery`, `IncidentQuery`, ...), so it travels through the ledger's socket
as it is, and an engine answers all of them by one method. What each question means, in SQL without a
dialect, stands in `byline.usage.reports`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, Protocol

import msgspec

from byline.usage.record import CostStatus, UsageRecord

Dimension = str
"""One of `DIMENSIONS`: what `byline usage --by` may group by."""
DIMENSIONS: tuple[Dimension, ...] = (
    "user", "team", "job", "model", "provider", "day", "hour", "session", "client", "outcome",
)  # fmt: skip


class Table(msgspec.Struct, frozen=True):
    """An answer: column names and rows of plain values (str, int, float, Decimal, datetime, None)."""

    columns: tuple[str, ...]
    rows: list[tuple[Any, ...]]

    def dicts(self) -> list[dict[str, Any]]:
        return [dict(zip(self.columns, row, strict=True)) for row in self.rows]


class UsageQuery(msgspec.Struct, frozen=True, kw_only=True, tag="usage"):
    """`since` inclusive, `until` exclusive, both aware; `timezone` decides where a day begins."""

    by: tuple[Dimension, ...]
    since: datetime
    until: datetime | None = None
    timezone: str = "UTC"
    where: Mapping[str, str] = {}
    """Column or dimension -> value it must equal; the empty string stands for a missing value."""
    include_client_credential: bool = False
    """Count notional cost of calls paid with the client's own credential as spend."""
    limit: int | None = None


class RequestsQuery(msgspec.Struct, frozen=True, kw_only=True, tag="requests"):
    """Rows, newest first."""

    since: datetime
    until: datetime | None = None
    user: str | None = None
    job: str | None = None
    session: str | None = None
    outcome: str | None = None
    identifier: str | None = None
    """Whom a provider's mail means: matches `identifier`, `metadata_user_id`, `client_metadata_user_id`."""
    where: Mapping[str, str] = {}
    limit: int = 50


class CoverageQuery(msgspec.Struct, frozen=True, kw_only=True, tag="coverage"):
    """Which share of requests and of tokens is attributed to a user, and to a job."""

    since: datetime
    until: datetime | None = None
    by: tuple[Dimension, ...] = ()
    where: Mapping[str, str] = {}


class MoversQuery(msgspec.Struct, frozen=True, kw_only=True, tag="movers"):
    """Whose spend changed most against the window of the same length just before `since`."""

    by: tuple[Dimension, ...]
    since: datetime
    until: datetime
    where: Mapping[str, str] = {}
    include_client_credential: bool = False
    limit: int = 20


class LatencyQuery(msgspec.Struct, frozen=True, kw_only=True, tag="latency"):
    """Percentiles of duration and time to first byte over answers that came whole."""

    since: datetime
    until: datetime | None = None
    by: tuple[Dimension, ...] = ("model",)
    where: Mapping[str, str] = {}


class CacheQuery(msgspec.Struct, frozen=True, kw_only=True, tag="cache"):
    """How much of the input was read from the provider's prompt cache."""

    since: datetime
    until: datetime | None = None
    by: tuple[Dimension, ...] = ("model",)
    where: Mapping[str, str] = {}


class ErrorsQuery(msgspec.Struct, frozen=True, kw_only=True, tag="errors"):
    """What did not end well, by outcome, HTTP status and error type; 429s are those of status 429."""

    since: datetime
    until: datetime | None = None
    by: tuple[Dimension, ...] = ()
    where: Mapping[str, str] = {}


class IncidentQuery(msgspec.Struct, frozen=True, kw_only=True, tag="incident"):
    """Who drove requests, tokens, 429s and errors, against the window of the same length before."""

    since: datetime
    until: datetime
    by: tuple[Dimension, ...] = ("user", "job")
    where: Mapping[str, str] = {}
    limit: int = 10


Report = (
    UsageQuery
    | RequestsQuery
    | CoverageQuery
    | MoversQuery
    | LatencyQuery
    | CacheQuery
    | ErrorsQuery
    | IncidentQuery
)


class ExportQuery(msgspec.Struct, frozen=True, kw_only=True, tag="export"):
    """Every column of the rows of a window, as one file, in the order they were recorded."""

    since: datetime
    until: datetime | None = None
    where: Mapping[str, str] = {}
    format: Literal["parquet", "csv"] = "parquet"


class PriceSources(msgspec.Struct, frozen=True):
    """What the settings say prices are read from, beside the data directory."""

    overrides_file: str | None = None
    """An absolute path."""
    price_lists: Mapping[str, str] = {}


class RepriceQuery(msgspec.Struct, frozen=True, kw_only=True, tag="reprice"):
    """Rows whose cost is worked out again; refused requests never had one."""

    since: datetime
    until: datetime | None = None
    only: tuple[CostStatus, ...] = ()
    """Cost statuses to look at; all if empty."""
    priced_by: PriceSources | None = None
    """What the asker takes for the sources of prices. Whoever owns the store refuses if its own are others:
    it prices the rows that come by them, so older rows must not get different ones. None asks for nothing.
    """


class SqlLimits(msgspec.Struct, frozen=True):
    timeout_s: float = 30.0
    max_rows: int = 100_000
    max_bytes: int = 256 * 1024 * 1024


class LedgerUnavailable(RuntimeError):
    """The store can't be reached or refused the work for now: keep the rows and try again."""


class QueryError(ValueError):
    """The question can't be answered as put; the message says what to write instead."""


class QueryTimeout(QueryError):
    """The time a query may take was over before its answer was complete."""


Progress = Callable[[float], None]
"""Called now and then with the done share, 0..1."""


Reprice = Callable[[RepriceQuery, bool, Progress | None], Table]
"""`LedgerAccess.reprice` as a function: (query, dry run, progress) -> what changed."""


Forget = Callable[[str, str], int]
"""`Ledger.forget` as a function: (user, pseudonym) -> rows changed."""


class LedgerReader(Protocol):
    """The read side. Safe to call from several threads at once."""

    def report(self, query: Report) -> Table:
        """Raises QueryError for an unknown dimension, column or time zone."""
        ...

    def usage(self, query: UsageQuery) -> Table: ...
    def requests(self, query: RequestsQuery) -> Table: ...
    def sql(self, text: str, limits: SqlLimits) -> Table:
        """One SELECT, read-only, bounded. Raises QueryError with the engine's message."""
        ...

    def export(self, query: ExportQuery, progress: Progress | None = None) -> Path:
        """Writes a file into the ledger's own outbox; the caller moves it away."""
        ...

    def backup(self, target: Path, progress: Progress | None = None) -> None:
        """A consistent copy of the store at `target`, which must not exist; inserts wait meanwhile."""
        ...

    def close(self) -> None: ...


class LedgerAccess(LedgerReader, Protocol):
    """What a command holds: the read side, and the work that the owner of the store does for it."""

    def reprice(
        self, query: RepriceQuery, *, dry_run: bool = False, progress: Progress | None = None
    ) -> Table:
        """Works out costs again by the prices known now; says what changed, by provider and model."""
        ...

    def forget(self, user: str, pseudonym: str) -> int:
        """As `Ledger.forget`."""
        ...


class Ledger(LedgerReader, Protocol):
    """Every engine keeps these promises; `tests/contract` holds each engine to them.

    Inserts are durable on return and idempotent by `request_id` (`event_id`). A row with any other
    outcome replaces an `interrupted` row of the same id; nothing else is ever replaced by an insert.
    """

    def insert_usage(self, rows: Sequence[UsageRecord]) -> int:
        """Returns how many rows were new or replaced an interrupted one."""
        ...

    def retire(self, before: datetime) -> int:
        """Folds rows older than the day (UTC) of `before` into daily sums and deletes them and older events.

        Returns how many rows went. Sums by user, team, job, model, provider, client, outcome and day
        stay what they were. Rows are never loaded.
        """
        ...

    def forget(self, user: str, pseudonym: str) -> int:
        """Puts `pseudonym` for the user in rows, sums and events, and takes out what else points to them.

        Returns how many rows changed. Sums stay what they were.
        """
        ...

    def insert_events(self, events: Sequence[Mapping[str, Any]]) -> int: ...


class CostLedger(Protocol):
    """Engines whose rows can be priced again, a batch at a time."""

    def rows_to_price(self, query: RepriceQuery) -> Iterator[Sequence[UsageRecord]]:
        """Batches in the order of time, each row with at least the columns that its cost follows from."""
        ...

    def update_costs(self, rows: Sequence[UsageRecord]) -> int:
        """Stores `cost_usd`, `cost_status` and `price_version` of rows; durable on return."""
        ...
