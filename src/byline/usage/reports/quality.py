"""How well answers came: from the prompt cache, or not at all."""

from __future__ import annotations

from typing import Final

from byline.usage.ledger import CacheQuery, Dimension, ErrorsQuery
from byline.usage.reports import measures
from byline.usage.reports.arithmetic import with_shares
from byline.usage.reports.dialect import Output, Plan
from byline.usage.reports.local_time import from_epoch_us
from byline.usage.reports.select import Select, group_outputs

_FAILURE: Final = "(outcome <> 'ok' OR coalesce(http_status, 0) >= 400)"
_FAILURE_COLUMNS: Final = ("outcome", "http_status", "error_type")

Query = CacheQuery | ErrorsQuery


def plan_cache(query: CacheQuery, select: Select) -> Plan:
    select.over_sums(query.since)
    summed = ("input_tokens", "cache_read_tokens", "cache_write_tokens")
    groups = _groups(query, query.by, select)
    sql = select.assemble(
        [*groups, select.count_where(measures.SENT), *(f"sum({select.column(name)})" for name in summed)],
        _conditions(query, select),
        grouped_by=len(groups),
        order=[f"c{len(groups) + 1} DESC NULLS LAST", *_names(groups)],
    )
    outputs = (*group_outputs(query.by), measures.count("requests"), *(measures.count(n) for n in summed))
    shares = {"hit_share": ("cache_read_tokens", "input_tokens")}
    return Plan(sql, select.parameters, outputs, lambda table: with_shares(table, shares))


def plan_errors(query: ErrorsQuery, select: Select) -> Plan:
    groups = [*_groups(query, query.by, select), *(select.column(name) for name in _FAILURE_COLUMNS)]
    last = select.dialect.epoch_us(f"max({select.column('started_at')})")
    sql = select.assemble(
        [*groups, "count(*)", last],
        [*_conditions(query, select), _FAILURE],
        grouped_by=len(groups),
        order=[f"c{len(groups)} DESC", *_names(groups)],
    )
    outputs = (
        *group_outputs(query.by),
        *(Output(name) for name in _FAILURE_COLUMNS),
        measures.count("requests"),
        Output("last_at", from_epoch_us),
    )
    return Plan(sql, select.parameters, outputs)


def _groups(query: Query, by: tuple[Dimension, ...], select: Select) -> list[str]:
    return [select.dimension(name, "UTC", query.since, query.until) for name in by]


def _conditions(query: Query, select: Select) -> list[str]:
    return [*select.window(query.since, query.until), *select.filters(query.where)]


def _names(groups: list[str]) -> list[str]:
    return [f"c{index} NULLS LAST" for index in range(len(groups))]
