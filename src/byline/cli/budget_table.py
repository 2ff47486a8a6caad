"""The use of budgets for people: each limit in words, and how much of it is gone."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Final

from byline.assembly.budget_status import BudgetUse
from byline.budgets.limits import Budget, describe_amount, dollars
from byline.cli.report_table import Options
from byline.usage.ledger import Table

COLUMNS: Final = ("whose", "limit", "mode", "used", "reserved", "resets", "refused")


def people_table(lines: Iterable[BudgetUse]) -> Table:
    return Table(columns=COLUMNS, rows=[_row(line) for line in lines])


def options() -> Options:
    return Options(headings={"resets": "resets (UTC)"})


def _row(line: BudgetUse) -> tuple[str | None, ...]:
    budget, counts = line.budget, line.budget.needs_counter
    return (
        f"{budget.scope} {line.entity}".rstrip(),
        describe_amount(budget),
        budget.mode,
        _used(line) if counts else None,
        _amount(budget, line.held) if counts else None,
        None if line.resets_at is None else f"{datetime.fromtimestamp(line.resets_at, UTC):%b %d %H:%M}",
        _refused(line),
    )


def _used(line: BudgetUse) -> str:
    used = _amount(line.budget, line.used)
    if not line.budget.amount:
        return used
    return f"{used} ({(line.used + line.held) / line.budget.amount:.0%})".replace("%", " %")


def _amount(budget: Budget, amount: int) -> str:
    return f"${dollars(amount)}" if budget.metric == "usd" else f"{amount:,}"


def _refused(line: BudgetUse) -> str | None:
    """Also what was refused before a limit became soft."""
    if line.refused is None or line.would_have_refused is None:
        return None
    parts = [f"{line.refused:,}"] if line.refused or line.budget.mode == "hard" else []
    if line.would_have_refused or line.budget.mode != "hard":
        parts.append(f"would {line.would_have_refused:,}")
    return ", ".join(parts)
