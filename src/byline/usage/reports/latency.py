"""Percentiles of duration and time to first byte, over any number of rows in little memory.

Values fall into buckets one per cent wide, and percentiles are read off their counts: half a per cent
off at most, the same in every engine. Exact ones keep every value in memory, which ten million rows
don't fit into; the engines' own approximations differ, and some sample.
"""

from __future__ import annotations

from typing import Final

from byline.usage.ledger import LatencyQuery
from byline.usage.reports import measures
from byline.usage.reports.arithmetic import zeroed
from byline.usage.reports.dialect import Output, Plan
from byline.usage.reports.select import Select, group_outputs

_MEASURES: Final = ("duration", "ttft")
_PERCENTILES: Final = {"p50": 0.5, "p95": 0.95, "p99": 0.99}
_PER_LOG: Final = 100
"""Buckets per unit of the natural logarithm."""
_LEAST_MS: Final = 0.001


def plan(query: LatencyQuery, select: Select) -> Plan:
    groups = [select.dimension(name, "UTC", query.since, query.until) for name in query.by]
    conditions = [
        *select.window(query.since, query.until), *select.filters(query.where), "outcome = 'ok'",
    ]  # fmt: skip
    counted = " UNION ALL ".join(
        _buckets(select, groups, conditions, number, f"{name}_ms") for number, name in enumerate(_MEASURES)
    )
    names = [f"g{index}" for index in range(len(groups))]
    over = f"PARTITION BY {', '.join([*names, 'measure'])}"
    running = (
        f"SELECT {', '.join([*names, 'measure', 'bucket'])}, sum(n) OVER ({over} ORDER BY bucket) AS reached, "  # noqa: S608
        f"sum(n) OVER ({over}) AS total FROM ({counted}) AS counted"
    )
    return Plan(
        _read_off(names, running),
        select.parameters,
        (*group_outputs(query.by), measures.count("requests"), *_outputs()),
        lambda table: zeroed(table, ("requests",)),
    )


def _buckets(select: Select, groups: list[str], conditions: list[str], number: int, column: str) -> str:
    value = select.column(column)
    least = f"CASE WHEN {value} > {_LEAST_MS} THEN {value} ELSE {_LEAST_MS} END"
    bucket = f"CAST(floor(ln({least}) * {_PER_LOG}) AS INTEGER)"
    named = [f"{group} AS g{index}" for index, group in enumerate(groups)]
    return (
        f"SELECT {', '.join([*named, f'{number} AS measure', f'{bucket} AS bucket', 'count(*) AS n'])} "  # noqa: S608
        f"FROM {select.table} WHERE {' AND '.join([*conditions, f'{value} IS NOT NULL'])} "
        f"GROUP BY {', '.join([*groups, bucket])}"
    )


def _read_off(names: list[str], running: str) -> str:
    """A percentile is the first bucket by which its share is reached; its middle stands for its values."""
    requests = "max(CASE WHEN measure = 0 THEN total END)"
    percentiles = [
        f"min(CASE WHEN measure = {number} AND reached >= total * {share} THEN exp((bucket + 0.5) / {_PER_LOG}) END)"
        for number, _ in enumerate(_MEASURES)
        for share in _PERCENTILES.values()
    ]
    grouped = f" GROUP BY {', '.join(names)}" if names else ""
    order = ", ".join([f"{requests} DESC NULLS LAST", *(f"{name} NULLS LAST" for name in names)])
    selected = ", ".join([*names, requests, *percentiles])
    return f"SELECT {selected} FROM ({running}) AS running{grouped} ORDER BY {order}"  # noqa: S608


def _outputs() -> list[Output]:
    return [Output(f"{measure}_{name}_ms", float) for measure in _MEASURES for name in _PERCENTILES]
