"""`byline requests`: the rows themselves, newest first."""

from __future__ import annotations

from typing import Final

from byline.usage.columns import USAGE_COLUMNS
from byline.usage.ledger import RequestsQuery
from byline.usage.reports import measures
from byline.usage.reports.dialect import Output, Plan
from byline.usage.reports.local_time import from_epoch_us
from byline.usage.reports.select import Select

_EQUAL: Final = {"user": "user", "job": "job", "session": "session_id", "outcome": "outcome"}
_IDENTIFIERS: Final = ("identifier", "metadata_user_id", "client_metadata_user_id")


def plan(query: RequestsQuery, select: Select) -> Plan:
    started, request_id = select.column("started_at"), select.column("request_id")
    sql = select.assemble(
        [_expression(select, name) for name in USAGE_COLUMNS],
        [*select.window(query.since, query.until), *_conditions(query, select)],
        order=[f"{started} DESC", f"{request_id} DESC"],
        limit=query.limit,
    )
    return Plan(sql, select.parameters, tuple(_output(name) for name in USAGE_COLUMNS))


def _conditions(query: RequestsQuery, select: Select) -> list[str]:
    wanted = {column: getattr(query, field) for field, column in _EQUAL.items()}
    conditions = [
        f"{select.column(name)} = {select.bind(value)}" for name, value in wanted.items() if value is not None
    ]
    if query.identifier is not None:
        value = select.bind(query.identifier)
        conditions.append("(" + " OR ".join(f"{select.column(n)} = {value}" for n in _IDENTIFIERS) + ")")
    return conditions + select.filters(query.where)


def _expression(select: Select, name: str) -> str:
    column = select.column(name)
    return select.dialect.epoch_us(column) if USAGE_COLUMNS[name] == "time" else column


def _output(name: str) -> Output:
    match USAGE_COLUMNS[name]:
        case "time":
            return Output(name, from_epoch_us)
        case "money":
            return measures.amount(name)
        case "count":
            return measures.count(name)
        case _:
            return Output(name)
