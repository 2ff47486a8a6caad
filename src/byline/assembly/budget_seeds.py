"""What had been used before the counters began: from the ledger, and from the journal it has not drained.

A row may stand in both, so the ledger leaves out those that the journal still has.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Final, NamedTuple

from byline.budgets.book import BudgetBook, Caller
from byline.budgets.limits import Budget, Period, micros
from byline.budgets.local import MINUTE_S
from byline.budgets.periods import CalendarWindow, window_at
from byline.usage.journal import End, read_entries
from byline.usage.ledger import LedgerReader, SqlLimits
from byline.usage.record import UsageRecord

_LIMITS: Final = SqlLimits(timeout_s=20.0, max_rows=1_000_000)
_COUNTED_APIS: Final = frozenset({"messages", "chat.completions", "responses"})
_UNSENT_OUTCOMES: Final = ("rejected", "client_disconnect")
"""Of rows that don't say how long we worked on them: refused, or left by their client before their turn."""
_UNSENT_ERRORS: Final = ("connect_error", "connect_timeout", "dns_error", "tls_error", "proxy_error")
_STALE: Final = "stale_connection"


class Seed(NamedTuple):
    """A calendar window's sum."""

    counter: str
    window: CalendarWindow
    used: int


class Seeds(NamedTuple):
    sums: list[Seed]
    seconds: dict[str, dict[int, int]]
    """Counters of a minute: second -> amount."""


class _Use(NamedTuple):
    """One row, as far as budgets count it."""

    caller: Caller
    at: float
    micros: int
    tokens: int
    requests: int


def read_seeds(
    book: BudgetBook,
    ledger: LedgerReader | None,
    journal: Path,
    now: float,
    price: Callable[[UsageRecord], int | None],
) -> Seeds:
    """`ledger` None: only what the journal still holds is known."""
    waiting = list(_undrained(journal))
    uses = [use for record in waiting if (use := _use(record, price)) is not None]
    if ledger is not None:
        uses += _from_ledger(book, ledger, [record.request_id for record in waiting], now)
    return _summed(book, uses, now)


def _undrained(journal: Path) -> Iterator[UsageRecord]:
    for segment in sorted(journal.glob("*.ndjson")):
        try:
            for located in read_entries(segment):
                if isinstance(located.entry, End):
                    yield located.entry.record
        except OSError:  # drained and deleted meanwhile: the ledger has it
            continue


def _use(record: UsageRecord, price: Callable[[UsageRecord], int | None]) -> _Use | None:
    if record.api not in _COUNTED_APIS or record.outcome == "rejected" or record.source != "gateway":
        return None
    own = record.credential == "client"
    cost = None if own else micros(record.cost_usd) if record.cost_usd is not None else price(record)
    caller = Caller(record.user, record.job, record.team, record.key_id, record.model_requested)
    return _Use(
        caller,
        record.started_at.timestamp(),
        cost or 0,
        (record.input_tokens or 0) + (record.output_tokens or 0),
        int(_counts_as_request(record)),
    )


def _counts_as_request(record: UsageRecord) -> bool:
    """As a gate settles it: an exchange that was sent counts once, however many attempts it took.

    The time we worked on a request runs until it is sent: 0 on the row of an attempt that had no
    connection. A stale connection's attempt was sent in vain, and the next one counts in its place.
    """
    if record.error_type == _STALE and record.outcome == "upstream_error" and record.attempt == 1:
        return False
    if record.overhead_us is not None:
        return record.overhead_us > 0
    return record.outcome not in _UNSENT_OUTCOMES and record.error_type not in _UNSENT_ERRORS


_COUNTS_AS_REQUEST: Final = f"""
    NOT (coalesce(error_type, '') = '{_STALE}' AND outcome = 'upstream_error' AND attempt = 1)
    AND coalesce(
        overhead_us > 0,
        outcome NOT IN {_UNSENT_OUTCOMES} AND coalesce(error_type, '') NOT IN {_UNSENT_ERRORS}
    )
"""
"""`_counts_as_request`, of the ledger's rows."""


def _from_ledger(book: BudgetBook, ledger: LedgerReader, known: Sequence[str], now: float) -> Iterator[_Use]:
    """Grouped by everything a budget goes by, and by the hour: every calendar window is whole hours."""
    since = min((window.starts_at for window in _windows(book, now)), default=now)
    scopes = {budget.scope for budget in book.budgets}
    selected = ", ".join(column if scope in scopes else "NULL" for scope, column in _COLUMN_OF.items())
    grouped = ", ".join([*(column for scope, column in _COLUMN_OF.items() if scope in scopes), "began"])
    for width_s, start in ((3600, since), (1, now - MINUTE_S)):
        until = now - MINUTE_S if width_s == 3600 else now + 3600
        text = f"""
            SELECT {selected}, CAST(floor(epoch(started_at) / {width_s}) * {width_s} AS BIGINT) AS began,
                sum(CASE WHEN credential = 'client' THEN 0 ELSE coalesce(cost_usd, 0) END),
                sum(coalesce(input_tokens, 0) + coalesce(output_tokens, 0)),
                count(*) FILTER (WHERE {_COUNTS_AS_REQUEST})
            FROM api_usage
            WHERE started_at >= TIMESTAMPTZ '{_iso(start)}' AND started_at < TIMESTAMPTZ '{_iso(until)}'
                AND outcome <> 'rejected' AND source = 'gateway'
                AND api IN ('messages', 'chat.completions', 'responses')
                {_but(known)}
            GROUP BY {grouped}
        """  # noqa: S608 - names and times of our own, and ids checked below
        for user, job, team, key, model, at, cost, tokens, requests in ledger.sql(text, _LIMITS).rows:
            caller = Caller(user, job, team, key, model)
            began = max(float(at), start)
            yield _Use(caller, began, micros(Decimal(cost)), int(tokens), int(requests))


_COLUMN_OF: Final = {
    "user": '"user"',
    "job": "job",
    "team": "team",
    "key": "key_id",
    "model": "model_requested",
}


def _but(known: Sequence[str]) -> str:
    ids = [name for name in known if name.replace("-", "").isalnum()]
    return f"AND request_id NOT IN ({', '.join(repr(name) for name in ids)})" if ids else ""


def _summed(book: BudgetBook, uses: Iterable[_Use], now: float) -> Seeds:
    sums: defaultdict[tuple[str, CalendarWindow], int] = defaultdict(int)
    seconds: defaultdict[str, defaultdict[int, int]] = defaultdict(lambda: defaultdict(int))
    for use in uses:
        for applied in book.verdicts(use.caller).applied:
            if applied.period is None:
                continue
            amount = {"usd": use.micros, "tokens": use.tokens}.get(applied.metric, use.requests)
            if applied.period == "minute":
                if amount and use.at > now - MINUTE_S:
                    seconds[applied.counter][int(use.at)] += amount
                continue
            window = window_at(applied.period, now)
            if window.starts_at <= use.at < window.ends_at:
                sums[applied.counter, window] += amount
    found = [Seed(counter, window, used) for (counter, window), used in sums.items() if used]
    return Seeds(found, {counter: dict(sorted(amounts.items())) for counter, amounts in seconds.items()})


def _windows(book: BudgetBook, now: float) -> list[CalendarWindow]:
    periods: set[Period | None] = {budget.limit_kind.period for budget in book.budgets}
    return [window_at(period, now) for period in periods if period is not None and period != "minute"]


def needs_seeds(budgets: Iterable[Budget]) -> bool:
    return any(budget.limit_kind.period is not None for budget in budgets)


def _iso(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat()


def wait_for(is_there: Callable[[], bool], timeout_s: float, pause_s: float = 0.05) -> bool:
    """For a ledger process that starts at the same time."""
    deadline = time.monotonic() + timeout_s
    while not is_there():
        if time.monotonic() >= deadline:
            return False
        time.sleep(pause_s)
    return True
