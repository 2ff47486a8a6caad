"""`byline usage`: a row a group, with its requests, tokens and spend."""

from __future__ import annotations

from typing import Final

from byline.usage.ledger import UsageQuery
from byline.usage.reports import measures
from byline.usage.reports.dialect import Output, Plan
from byline.usage.reports.select import TIME_DIMENSIONS, Select, group_outputs

_SUMMED: Final = ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens")
MEASURES: Final[tuple[Output, ...]] = (
    measures.count("requests"),
    measures.count("rejected"),
    *(measures.total(name) for name in _SUMMED),
    measures.amount("cost_usd"),
)


def plan(query: UsageQuery, select: Select) -> Plan:
    select.over_sums(query.since)
    groups = [select.dimension(name, query.timezone, query.since, query.until) for name in query.by]
    expressions = [
        *groups,
        select.count_where(measures.SENT),
        select.count_where(measures.REJECTED),
        *(f"sum({select.column(name)})" for name in _SUMMED),
        measures.sum_spend(select, include_client_credential=query.include_client_credential),
    ]
    sql = select.assemble(
        expressions,
        [*select.window(query.since, query.until), *select.filters(query.where)],
        grouped_by=len(groups),
        order=_order(query, len(groups)),
        limit=query.limit,
    )
    return Plan(sql, select.parameters, (*group_outputs(query.by), *MEASURES))


def _order(query: UsageQuery, groups: int) -> list[str]:
    """In time where a group is a time, else the dearest first; the groups settle ties."""
    names = [f"c{index} NULLS LAST" for index in range(groups)]
    if any(name in TIME_DIMENSIONS for name in query.by):
        return names
    return [f"c{groups + len(MEASURES) - 1} DESC NULLS LAST", f"c{groups} DESC", *names]
