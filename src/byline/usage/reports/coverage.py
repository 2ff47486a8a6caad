"""Which share of requests and tokens is attributed: the figure by which a rollout is judged."""

from __future__ import annotations

from typing import Final

from byline.usage.ledger import CoverageQuery, Table
from byline.usage.reports import measures
from byline.usage.reports.arithmetic import with_shares, zeroed
from byline.usage.reports.dialect import Plan
from byline.usage.reports.select import Select, group_outputs

_COUNTS: Final = (
    "requests", "requests_with_user", "requests_with_job", "tokens", "tokens_with_user", "tokens_with_job",
)  # fmt: skip
_SHARES: Final = {
    "requests_user_share": ("requests_with_user", "requests"),
    "requests_job_share": ("requests_with_job", "requests"),
    "tokens_user_share": ("tokens_with_user", "tokens"),
    "tokens_job_share": ("tokens_with_job", "tokens"),
}


def plan(query: CoverageQuery, select: Select) -> Plan:
    select.over_sums(query.since)
    groups = [select.dimension(name, "UTC", query.since, query.until) for name in query.by]
    user, job = (f"{select.column(name)} IS NOT NULL" for name in ("user", "job"))
    expressions = [
        *groups,
        select.count_where(measures.SENT),
        select.count_where(f"{measures.SENT} AND {user}"),
        select.count_where(f"{measures.SENT} AND {job}"),
        f"sum({measures.TOKENS})",
        measures.sum_where(user, measures.TOKENS),
        measures.sum_where(job, measures.TOKENS),
    ]
    sql = select.assemble(
        expressions,
        [*select.window(query.since, query.until), *select.filters(query.where)],
        grouped_by=len(groups),
        order=[f"c{len(groups)} DESC", *(f"c{index} NULLS LAST" for index in range(len(groups)))],
    )
    outputs = (*group_outputs(query.by), *(measures.count(name) for name in _COUNTS))
    return Plan(sql, select.parameters, outputs, _with_shares)


def _with_shares(table: Table) -> Table:
    return with_shares(zeroed(table, _COUNTS), _SHARES)
