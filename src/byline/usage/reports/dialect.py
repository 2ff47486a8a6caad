"""What differs between engines, and what a report hands to one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any, Protocol

import msgspec

from byline.usage.ledger import Table

Value = str | int | float | bool | Decimal | datetime


class Dialect(Protocol):
    """An engine's SQL. Everything not named here is written the same way for all of them."""

    usage_table: str

    def sums_table(self, since: datetime) -> tuple[str, str]:
        """What to sum over from `since` on, and how many attempts one of its rows stands for.

        Rows that are past retention are only there as daily sums.
        """
        ...

    def column(self, name: str) -> str:
        """The name quoted: `user` is a word of its own in some engines."""
        ...

    def parameter(self, name: str, value: Value) -> str:
        """The placeholder of a bound value; its type is the value's."""
        ...

    def epoch_us(self, column: str) -> str:
        """Microseconds since 1970 of a time column, as an integer."""
        ...

    def floor_div(self, numerator: str, denominator: int) -> str: ...


class Output(msgspec.Struct, frozen=True):
    """One column of the answer: its name and how the engine's value becomes a plain one."""

    name: str
    convert: Callable[[Any], Any] | None = None
    wide: bool = False
    """A sum, which may take more than 64 bits. An engine may give it as text, which `convert` reads too."""


class Plan(msgspec.Struct, frozen=True):
    """A query ready to run. Its columns come in the order of `outputs`, under names that don't matter."""

    sql: str
    parameters: Mapping[str, Value]
    outputs: tuple[Output, ...]
    derive: Callable[[Table], Table] | None = None
    """Arithmetic over the answer that needs no engine (shares, changes)."""

    def shape(self, rows: Iterable[tuple[Any, ...]]) -> Table:
        """The engine's rows as the answer: converted, derived, named."""
        converts = [(index, output.convert) for index, output in enumerate(self.outputs) if output.convert]
        table = Table(
            columns=tuple(output.name for output in self.outputs),
            rows=[_converted(row, converts) for row in rows] if converts else list(rows),
        )
        return self.derive(table) if self.derive else table


def _converted(row: tuple[Any, ...], converts: list[tuple[int, Callable[[Any], Any]]]) -> tuple[Any, ...]:
    cells = list(row)
    for index, convert in converts:
        if cells[index] is not None:
            cells[index] = convert(cells[index])
    return tuple(cells)
