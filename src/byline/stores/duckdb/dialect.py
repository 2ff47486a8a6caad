"""Report SQL as DuckDB writes it."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from byline.usage.columns import DAILY_GROUPS, DAILY_SUMS, MONEY_PLACES, USAGE_COLUMNS, Kind
from byline.usage.reports.dialect import Plan, Value

TYPES: Final[dict[Kind, str]] = {
    "text": "VARCHAR",
    "count": "BIGINT",
    "real": "DOUBLE",
    # 18 digits fit 64 bits, which sums three times as fast as 38; a request never costs a million.
    "money": f"DECIMAL(18, {MONEY_PLACES})",
    "time": "TIMESTAMPTZ",
    "flag": "BOOLEAN",
    "json": "JSON",
}


_IN_SUMS: Final = frozenset({"started_at", *DAILY_GROUPS, *DAILY_SUMS})


def quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def statement(plan: Plan) -> str:
    """The plan's SQL with its wide sums as text: DuckDB's client takes ten times as long to make a number of
    more than 64 bits, and a report by user and job has a hundred thousand of them. Keeps the order."""
    if not any(output.wide for output in plan.outputs):
        return plan.sql
    names = [f"c{index}" for index, _ in enumerate(plan.outputs)]
    cells = [
        f"CAST({name} AS VARCHAR)" if output.wide else name
        for name, output in zip(names, plan.outputs, strict=True)
    ]
    return f"SELECT {', '.join(cells)} FROM ({plan.sql}) AS answer({', '.join(names)})"  # noqa: S608 - names of ours


class DuckDBDialect:
    usage_table = "api_usage"

    def __init__(self, aged_until: datetime | None = None) -> None:
        """`aged_until`: where daily sums end and rows begin; None while there are only rows."""
        self._aged_until = aged_until

    def sums_table(self, since: datetime) -> tuple[str, str]:
        if self._aged_until is None or since >= self._aged_until:
            return self.usage_table, "1"
        rows = ", ".join(map(quoted, USAGE_COLUMNS))
        sums = ", ".join(quoted(name) if name in _IN_SUMS else "NULL" for name in USAGE_COLUMNS)
        return (
            f"(SELECT {rows}, 1 AS attempts FROM api_usage "  # noqa: S608 - names of ours
            f"UNION ALL SELECT {sums}, attempts FROM api_usage_daily) AS api_usage_sums",
            "attempts",
        )

    def column(self, name: str) -> str:
        return quoted(name)

    def parameter(self, name: str, value: Value) -> str:
        return f"${name}"

    def epoch_us(self, column: str) -> str:
        return f"epoch_us({column})"

    def floor_div(self, numerator: str, denominator: int) -> str:
        return f"(({numerator}) // {denominator})"
