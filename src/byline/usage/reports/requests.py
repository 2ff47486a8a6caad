"""`byline requests`: the rows themselves, newest first.

Rows are wide, so what matters is that an engine finds the few it shows before it reads all their
columns. It can where each condition is about one column; "one of three columns" is therefore asked as
three questions, each for its newest rows, whose answers have no row in common.
"""

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
_PLACES: Final = {name: place for place, name in enumerate(USAGE_COLUMNS)}


def plan(query: RequestsQuery, select: Select) -> Plan:
    conditions = [*select.window(query.since, query.until), *_conditions(query, select)]
    if query.identifier is None:
        sql = _newest(query, select, conditions)
    else:
        sql = _newest_of_all(query, select, conditions, select.bind(query.identifier))
    return Plan(sql, select.parameters, tuple(_output(name) for name in USAGE_COLUMNS))


def _conditions(query: RequestsQuery, select: Select) -> list[str]:
    wanted = {column: getattr(query, field) for field, column in _EQUAL.items()}
    conditions = [
        f"{select.column(name)} = {select.bind(value)}" for name, value in wanted.items() if value is not None
    ]
    return conditions + select.filters(query.where)


def _newest(query: RequestsQuery, select: Select, conditions: list[str]) -> str:
    return select.assemble(
        [_expression(select, name) for name in USAGE_COLUMNS],
        conditions,
        order=[f"{select.column(name)} DESC" for name in ("started_at", "request_id")],
        limit=query.limit,
    )


def _newest_of_all(query: RequestsQuery, select: Select, conditions: list[str], identifier: str) -> str:
    columns = [select.column(name) for name in _IDENTIFIERS]
    found = [
        _newest(query, select, [*conditions, f"{column} = {identifier}", *_none_of(columns[:place], identifier)])
        for place, column in enumerate(columns)
    ]  # fmt: skip
    branches = " UNION ALL ".join(f"SELECT * FROM ({sql}) AS by{place}" for place, sql in enumerate(found))  # noqa: S608
    order = ", ".join(f"c{_PLACES[name]} DESC" for name in ("started_at", "request_id"))
    return f"SELECT * FROM ({branches}) AS found ORDER BY {order} LIMIT {int(query.limit)}"  # noqa: S608


def _none_of(columns: list[str], value: str) -> list[str]:
    return [f"({column} IS NULL OR {column} <> {value})" for column in columns]


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
