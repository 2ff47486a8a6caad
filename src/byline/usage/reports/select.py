"""Builds the SELECTs of reports: windows, filters and groups, with every value bound."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Final

from byline.usage.columns import USAGE_COLUMNS, Kind
from byline.usage.ledger import DIMENSIONS, Dimension, QueryError
from byline.usage.reports.dialect import Dialect, Output, Value
from byline.usage.reports.local_time import (
    DAY_US,
    HOUR_US,
    day_label,
    epoch_us,
    from_epoch_us,
    offset_expression,
)

TIME_DIMENSIONS: Final = ("day", "hour")
_COLUMN_OF: Final = {"session": "session_id"}
_CLOCK_SKEW: Final = timedelta(days=2)
"""How far ahead of our clock the clock of a gateway may be when a window has no end."""


class Select:
    """One query in the making: hands out expressions and remembers the values they bind."""

    def __init__(self, dialect: Dialect, now: datetime) -> None:
        self.dialect = dialect
        self.now = now
        self.parameters: dict[str, Value] = {}
        self.table = dialect.usage_table
        self.attempts = "1"
        """How many attempts one row of the table stands for."""

    def over_sums(self, since: datetime) -> None:
        """For reports that only add up, and so can go back further than single rows do."""
        self.table, self.attempts = self.dialect.sums_table(since)

    def count_where(self, condition: str) -> str:
        """0 where nothing matched. Counting takes less time than adding up ones."""
        if self.attempts == "1":
            return f"count(CASE WHEN {condition} THEN 1 END)"
        return f"coalesce(sum(CASE WHEN {condition} THEN {self.attempts} ELSE 0 END), 0)"

    def bind(self, value: Value) -> str:
        name = f"p{len(self.parameters)}"
        self.parameters[name] = value
        return self.dialect.parameter(name, value)

    def column(self, name: str) -> str:
        return self.dialect.column(name)

    def window(self, since: datetime, until: datetime | None) -> list[str]:
        for bound in (since, until):
            if bound and not bound.tzinfo:
                raise QueryError("since and until need a time zone")
        started = self.column("started_at")
        conditions = [f"{started} >= {self.bind(since)}"]
        if until:
            conditions.append(f"{started} < {self.bind(until)}")
        return conditions

    def filters(self, where: Mapping[str, str]) -> list[str]:
        return [self._filter(name, value) for name, value in where.items()]

    def _filter(self, name: str, value: str) -> str:
        if name in TIME_DIMENSIONS:
            raise QueryError(f"can't filter by {name}: give the window with since and until")
        expression = self.plain_dimension(name) if name in DIMENSIONS else self._known_column(name)
        if value == "":
            return f"{expression} IS NULL"
        return f"{expression} = {self.bind(_typed(USAGE_COLUMNS.get(name, 'text'), name, value))}"

    def _known_column(self, name: str) -> str:
        if name not in USAGE_COLUMNS or USAGE_COLUMNS[name] == "json":
            raise QueryError(f"no column {name!r} to filter by; `byline sql 'DESCRIBE api_usage'` lists them")
        return self.column(name)

    def plain_dimension(self, name: Dimension) -> str:
        if name == "model":
            reported, requested = (self.column(f"model_{how}") for how in ("reported", "requested"))
            # Where a group is made of it, DuckDB needs a quarter less for this than for coalesce.
            return f"CASE WHEN {reported} IS NULL THEN {requested} ELSE {reported} END"
        return self.column(_COLUMN_OF.get(name, name))

    def dimension(self, name: Dimension, timezone: str, since: datetime, until: datetime | None) -> str:
        if name not in DIMENSIONS:
            raise QueryError(f"can't group by {name!r}: choose among {', '.join(DIMENSIONS)}")
        if name not in TIME_DIMENSIONS:
            return self.plain_dimension(name)
        us = self.dialect.epoch_us(self.column("started_at"))
        offset = offset_expression(timezone, us, since, until or self.now + _CLOCK_SKEW)
        local = f"{us} + ({offset})" if offset else us
        if name == "day":
            return self.dialect.floor_div(local, DAY_US)
        hours = f"{self.dialect.floor_div(local, HOUR_US)} * {HOUR_US}"
        return f"{hours} - ({offset})" if offset else hours

    def assemble(
        self,
        expressions: Sequence[str],
        conditions: Iterable[str],
        *,
        grouped_by: int = 0,
        order: Sequence[str] = (),
        limit: int | None = None,
    ) -> str:
        """The text; result columns are named c0, c1, ... so that none hides a table's column."""
        selected = ", ".join(f"{expression} AS c{index}" for index, expression in enumerate(expressions))
        parts = [f"SELECT {selected} FROM {self.table} WHERE {' AND '.join(conditions)}"]  # noqa: S608 - values are bound
        if grouped_by:
            parts.append("GROUP BY " + ", ".join(expressions[:grouped_by]))
        if order:
            parts.append("ORDER BY " + ", ".join(order))
        if limit is not None:
            parts.append(f"LIMIT {int(limit)}")
        return " ".join(parts)


def group_outputs(by: Sequence[Dimension]) -> list[Output]:
    converts = {"day": day_label, "hour": from_epoch_us}
    return [Output(name, converts.get(name)) for name in by]


def _typed(kind: Kind, name: str, text: str) -> Value:
    try:
        match kind:
            case "count":
                return int(text)
            case "real":
                return float(text)
            case "money":
                return Decimal(text)
            case "time":
                return from_epoch_us(epoch_us(datetime.fromisoformat(text)))
            case "flag":
                return {"true": True, "false": False}[text.lower()]
            case _:
                return text
    except (ValueError, KeyError, TypeError, InvalidOperation) as error:
        raise QueryError(f"{name} is a {kind}, {text!r} is not") from error
