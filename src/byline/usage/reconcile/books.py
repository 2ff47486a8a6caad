"""The ledger's side: rows of one provider by day and model.

Rows of refused requests used nothing, and those paid with a client's own credential stand on another
organization's bill, so both are left out.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime
from typing import Any, Final

import msgspec

from byline.apis.api import Iteration
from byline.usage.ledger import LedgerReader, QueryError, SqlLimits
from byline.usage.reconcile.figures import Book, Figures, add, undated

_PROVIDER: Final = re.compile(r"[a-z0-9-]+")
_LIMITS: Final = SqlLimits(timeout_s=300.0, max_rows=1_000_000)


def read(ledger: LedgerReader, provider: str, since: datetime, until: datetime) -> Book:
    """Raises QueryError, LedgerUnavailable."""
    if not _PROVIDER.fullmatch(provider):
        raise QueryError("a provider's name has lower-case letters, digits and '-' only")
    rows = (
        f"FROM api_usage WHERE provider = '{provider}' AND outcome <> 'rejected' "
        "AND coalesce(credential, '') <> 'client' AND api NOT IN ('count_tokens', 'models') "
        f"AND started_at >= {_timestamp(since)} AND started_at < {_timestamp(until)}"
    )
    book: Book = {}
    for sums in ledger.sql(f"{_SUMS} {rows} GROUP BY 1, 2", _LIMITS).dicts():
        day, model = _day(sums.pop("day")), sums.pop("model")
        add(book, (day, undated(model)), _figures(sums))
    for day, model, iterations in ledger.sql(f"{_ITERATIONS} {rows} AND {_HAS_FURTHER}", _LIMITS).rows:
        for iteration in msgspec.json.decode(iterations, type=list[Iteration]):
            if not iteration.in_totals:
                add(book, (_day(day), undated(iteration.model or model)), _tokens_of(iteration))
    return book


_DAY_AND_MODEL: Final = (
    "CAST(started_at AS DATE) AS day, coalesce(model_reported, model_requested, '') AS model"
)
_SUMS: Final = (
    f"SELECT {_DAY_AND_MODEL}, count(*) AS requests, sum(input_tokens) AS input_tokens, "
    "sum(cache_read_tokens) AS cache_read_tokens, sum(cache_write_tokens) AS cache_write_tokens, "
    "sum(output_tokens) AS output_tokens, sum(cost_usd) AS cost_usd, "
    "sum(CASE WHEN service_tier IN ('priority', 'scale') "
    "THEN coalesce(input_tokens, 0) + coalesce(output_tokens, 0) ELSE 0 END) AS priority_tokens, "
    "sum(CASE WHEN cost_status IN ('unknown_model', 'partial') THEN 1 ELSE 0 END) AS unpriced, "
    "sum(CASE WHEN usage_complete = false THEN 1 ELSE 0 END) AS incomplete, "
    "sum(CASE WHEN cost_status = 'no_usage' THEN 1 ELSE 0 END) AS without_usage"
)
_ITERATIONS: Final = f"SELECT {_DAY_AND_MODEL}, CAST(iterations AS VARCHAR)"
# The provider counts every iteration, a row's totals don't. One that they do count is stored with
# `"in_totals":true}` at its end; any other ends with a number or a string.
_HAS_FURTHER: Final = (
    "(" + " OR ".join(f"CAST(iterations AS VARCHAR) LIKE '%{end}}}%'" for end in '0123456789"') + ")"
)


def _figures(sums: dict[str, Any]) -> Figures:
    """Engines differ in the types of sums; counts are whole numbers in all of them."""
    cost = sums.pop("cost_usd")
    counts = {name: None if value is None else int(value) for name, value in sums.items()}
    return msgspec.structs.replace(Figures(cost_usd=cost), **counts)


def _tokens_of(iteration: Iteration) -> Figures:
    read = iteration.cache_read_tokens or 0
    written = max(
        iteration.cache_write_tokens or 0,
        (iteration.cache_write_5m_tokens or 0) + (iteration.cache_write_1h_tokens or 0),
    )
    return Figures(
        input_tokens=(iteration.input_uncached_tokens or 0) + read + written,
        cache_read_tokens=read,
        cache_write_tokens=written,
        output_tokens=iteration.output_tokens or 0,
    )


def _day(value: date | str) -> date:
    """Answers to free SQL have dates as text."""
    return value if isinstance(value, date) else date.fromisoformat(value)


def _timestamp(at: datetime) -> str:
    return f"TIMESTAMPTZ '{at.astimezone(UTC):%Y-%m-%d %H:%M:%S}+00:00'"
