"""Shares and changes over the rows of a Table. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any

from byline.usage.ledger import Table


def share(part: float | None, whole: float | None) -> float | None:
    """0..1; None where there is nothing to have a share of."""
    return part / whole if part is not None and whole else None


def change(now: Any, before: Any) -> Any:
    """Absolute; a window without a known value counts as nothing spent. None if neither has one."""
    if now is None and before is None:
        return None
    return (now or 0) - (before or 0)


def before(since: datetime, until: datetime) -> datetime:
    """The start of the window of the same length that ends at `since`."""
    return since - (until - since)


def with_shares(table: Table, shares: Mapping[str, tuple[str, str]]) -> Table:
    """The table with further columns: name -> (column of the part, column of the whole)."""
    places = [(table.columns.index(part), table.columns.index(whole)) for part, whole in shares.values()]
    rows = [(*row, *(share(row[part], row[whole]) for part, whole in places)) for row in table.rows]
    return Table(columns=(*table.columns, *shares), rows=rows)


def with_change(table: Table, name: str, now: str, before: str) -> Table:
    """The table with the column `name`: what `now` has over `before`."""
    present, past = table.columns.index(now), table.columns.index(before)
    return Table(
        columns=(*table.columns, name), rows=[(*row, change(row[present], row[past])) for row in table.rows]
    )


def zeroed(table: Table, counts: Collection[str]) -> Table:
    """A sum over no rows is NULL in SQL; where a column counts, that is a zero."""
    counted = [name in counts for name in table.columns]
    rows = [
        tuple(0 if count and cell is None else cell for count, cell in zip(counted, row, strict=True))
        for row in table.rows
    ]
    return Table(table.columns, rows)
