"""From a question to the query that answers it."""

from __future__ import annotations

from datetime import datetime

from byline.usage.ledger import (
    CacheQuery,
    CoverageQuery,
    ErrorsQuery,
    ExportQuery,
    IncidentQuery,
    LatencyQuery,
    MoversQuery,
    Report,
    RequestsQuery,
    UsageQuery,
)
from byline.usage.reports import coverage, latency, quality, requests, usage_by, windows
from byline.usage.reports.dialect import Dialect, Plan, Value
from byline.usage.reports.select import Select


def plan(query: Report, dialect: Dialect, now: datetime) -> Plan:
    """Raises QueryError for an unknown dimension, column or time zone."""
    select = Select(dialect, now)
    match query:
        case UsageQuery():
            return usage_by.plan(query, select)
        case RequestsQuery():
            return requests.plan(query, select)
        case CoverageQuery():
            return coverage.plan(query, select)
        case MoversQuery():
            return windows.plan_movers(query, select)
        case IncidentQuery():
            return windows.plan_incident(query, select)
        case LatencyQuery():
            return latency.plan(query, select)
        case CacheQuery():
            return quality.plan_cache(query, select)
        case ErrorsQuery():
            return quality.plan_errors(query, select)


def plan_selection(query: ExportQuery, dialect: Dialect, now: datetime) -> tuple[str, dict[str, Value]]:
    """The conditions of the rows to export, and the values they bind."""
    select = Select(dialect, now)
    conditions = [*select.window(query.since, query.until), *select.filters(query.where)]
    return " AND ".join(conditions), select.parameters
