"""Reports that set a window against the one of the same length before it: movers and incidents."""

from __future__ import annotations

from typing import Final

from byline.usage.ledger import IncidentQuery, MoversQuery, QueryError
from byline.usage.reports import measures
from byline.usage.reports.arithmetic import before, with_change, zeroed
from byline.usage.reports.dialect import Output, Plan
from byline.usage.reports.select import Select, group_outputs

_INCIDENT_COUNTS: Final = {
    "requests": measures.SENT,
    "throttled": measures.THROTTLED,
    "errors": measures.FAILED,
    "rejected": measures.REJECTED,
}


def plan_movers(query: MoversQuery, select: Select) -> Plan:
    select.over_sums(before(query.since, query.until))
    cost = measures.spend(select, include_client_credential=query.include_client_credential)
    builder = _Windows(query, select)
    builder.add_sum(measures.amount("cost_usd"), cost)
    builder.add_count(measures.count("requests"), measures.SENT)
    builder.add_sum(measures.count("tokens"), measures.TOKENS)
    now, then = (f"coalesce(c{len(query.by) + index}, 0)" for index in (0, 1))
    return Plan(
        builder.assemble([f"abs({now} - {then}) DESC", f"c{len(query.by) + 2} DESC"], query.limit),
        select.parameters,
        tuple(builder.outputs),
        lambda table: with_change(table, "cost_change_usd", "cost_usd", "cost_usd_before"),
    )


def plan_incident(query: IncidentQuery, select: Select) -> Plan:
    builder = _Windows(query, select)
    for name, condition in _INCIDENT_COUNTS.items():
        builder.add_count(measures.count(name), condition)
    builder.add_sum(measures.count("tokens"), measures.TOKENS)
    # What a client pays with its own credential is nobody's spend here.
    builder.add_sum(measures.amount("cost_usd"), measures.spend(select, include_client_credential=False))
    counts = {f"{name}{window}" for name in (*_INCIDENT_COUNTS, "tokens") for window in ("", "_before")}
    tokens = len(query.by) + 2 * len(_INCIDENT_COUNTS)
    order = [f"c{tokens} DESC NULLS LAST", f"c{len(query.by)} DESC"]
    return Plan(
        builder.assemble(order, query.limit),
        select.parameters,
        tuple(builder.outputs),
        lambda table: zeroed(table, counts),
    )


class _Windows:
    """Each measure twice, for the window and for the one before, side by side."""

    def __init__(self, query: MoversQuery | IncidentQuery, select: Select) -> None:
        if query.until <= query.since:
            raise QueryError("the window ends before it begins")
        self._query, self._select = query, select
        self._earliest = before(query.since, query.until)
        self._groups = [select.dimension(name, "UTC", self._earliest, query.until) for name in query.by]
        self._expressions: list[str] = []
        self.outputs = group_outputs(query.by)
        started = select.column("started_at")
        boundary = select.bind(query.since)
        self._conditions = (f"{started} >= {boundary}", f"{started} < {boundary}")

    def add_count(self, output: Output, condition: str) -> None:
        self._add(
            output, [self._select.count_where(f"{condition} AND {window}") for window in self._conditions]
        )

    def add_sum(self, output: Output, expression: str) -> None:
        self._add(output, [measures.sum_where(window, expression) for window in self._conditions])

    def _add(self, output: Output, expressions: list[str]) -> None:
        self._expressions += expressions
        self.outputs += [output, Output(f"{output.name}_before", output.convert)]

    def assemble(self, order: list[str], limit: int) -> str:
        query, select = self._query, self._select
        return select.assemble(
            [*self._groups, *self._expressions],
            [*select.window(self._earliest, query.until), *select.filters(query.where)],
            grouped_by=len(self._groups),
            order=[*order, *(f"c{index} NULLS LAST" for index in range(len(self._groups)))],
            limit=limit,
        )
