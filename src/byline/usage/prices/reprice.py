"""Works out the costs of stored rows again, by the prices known now for the day each was served.

Rows whose cost and status come out the same are left untouched, price version included.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Final

import msgspec

from byline.usage.ledger import CostLedger, Progress, RepriceQuery, Table
from byline.usage.prices.book import PriceBook
from byline.usage.prices.cost import price
from byline.usage.record import UsageRecord

MAX_GROUPS: Final = 1000
"""Models told apart in the answer; clients may invent names without end."""
OTHER: Final = "(others)"
COLUMNS: Final = (
    "provider", "model", "rows", "changed", "priced", "partial", "unknown_model", "no_usage",
    "cost_before_usd", "cost_after_usd",
)  # fmt: skip


class _Tally(msgspec.Struct):
    rows: int = 0
    changed: int = 0
    priced: int = 0
    partial: int = 0
    unknown_model: int = 0
    no_usage: int = 0
    before: Decimal | None = None
    after: Decimal | None = None
    """None until a row has a cost: what nobody knows is not zero."""

    def add(self, before: Decimal | None, row: UsageRecord, *, changed: bool) -> None:
        self.rows += 1
        self.changed += changed
        if row.cost_status:
            setattr(self, row.cost_status, getattr(self, row.cost_status) + 1)
        self.before = _sum(self.before, before)
        self.after = _sum(self.after, row.cost_usd)

    @property
    def difference(self) -> Decimal:
        return abs((self.after or Decimal(0)) - (self.before or Decimal(0)))

    def cells(self) -> tuple[int | Decimal | None, ...]:
        """Money without trailing zeros, as in every report."""
        return tuple(
            cell.normalize() + 0 if isinstance(cell, Decimal) else cell
            for cell in msgspec.structs.astuple(self)
        )


def _sum(known: Decimal | None, more: Decimal | None) -> Decimal | None:
    return known if more is None else more + (known or 0)


def reprice(
    ledger: CostLedger,
    book: PriceBook,
    query: RepriceQuery,
    *,
    dry_run: bool = False,
    progress: Progress | None = None,
) -> Table:
    """What changed, by provider and model, dearest change first."""
    tallies: dict[tuple[str, str | None], _Tally] = {}
    for batch in ledger.rows_to_price(query):
        changed = [row for row in batch if _repriced(row, book, tallies)]
        if changed and not dry_run:
            ledger.update_costs(changed)
        if progress is not None and query.until is not None:
            progress((batch[-1].started_at - query.since) / (query.until - query.since))
    ranked = sorted(tallies.items(), key=lambda item: (-item[1].difference, -item[1].rows))
    return Table(COLUMNS, [(*names, *tally.cells()) for names, tally in ranked])


def _repriced(row: UsageRecord, book: PriceBook, tallies: dict[tuple[str, str | None], _Tally]) -> bool:
    """Prices the row in place; whether that changed its cost or status."""
    cost, status = row.cost_usd, row.cost_status
    price(row, book)
    changed = (cost, status) != (row.cost_usd, row.cost_status)
    names = (row.provider, row.model_reported or row.model_requested)
    if names not in tallies and len(tallies) >= MAX_GROUPS:
        names = (row.provider, OTHER)
    tallies.setdefault(names, _Tally()).add(cost, row, changed=changed)
    return changed
