"""The aggregates that reports are made of, each said once.

An attempt counts as a request unless it was refused before anything was sent. Spend is what the
gateway's own credentials paid: the cost of a call on the client's credential is notional.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Final

from byline.usage.reports.dialect import Output
from byline.usage.reports.select import Select

SENT: Final = "outcome <> 'rejected'"
REJECTED: Final = "outcome = 'rejected'"
THROTTLED: Final = f"({SENT} AND http_status = 429)"
FAILED: Final = "(outcome IN ('upstream_error', 'upstream_disconnect') AND coalesce(http_status, 0) <> 429)"
TOKENS: Final = "coalesce(input_tokens, 0) + coalesce(output_tokens, 0)"


def sum_where(condition: str, expression: str) -> str:
    """NULL where nothing matched or nothing was known."""
    return f"sum(CASE WHEN {condition} THEN {expression} END)"


def spend(select: Select, *, include_client_credential: bool) -> str:
    """Expression for what one row cost."""
    cost = select.column("cost_usd")
    if include_client_credential:
        return cost
    return f"CASE WHEN {select.column('credential')} = 'client' THEN NULL ELSE {cost} END"


def sum_spend(select: Select, *, include_client_credential: bool) -> str:
    """What all rows cost. DuckDB adds up a column in half the space that it needs for a CASE over it."""
    total = f"sum({select.column('cost_usd')})"
    if include_client_credential:
        return total
    return f"{total} FILTER (WHERE {select.column('credential')} IS DISTINCT FROM 'client')"


def whole(value: object) -> int:
    return value if type(value) is int else int(str(value))


def money(value: object) -> Decimal:
    """Without the zeros that a fixed number of places appends."""
    exact = value if isinstance(value, Decimal) else Decimal(str(value))
    return exact.normalize() + 0


def count(name: str) -> Output:
    return Output(name, whole)


def total(name: str) -> Output:
    return Output(name, whole, wide=True)


def amount(name: str) -> Output:
    return Output(name, money, wide=True)
