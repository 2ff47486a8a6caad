"""`byline reprice`: the costs of stored rows worked out again, by the prices known now."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Any, Final, get_args

import typer

from byline.assembly.ledger import open_ledger, price_sources
from byline.cli.existing import with_rows
from byline.cli.output import ConfigOption, Format, FormatOption, note, write
from byline.cli.times import SinceOption, UntilOption, parse_since
from byline.settings import load
from byline.usage.ledger import RepriceQuery, Table
from byline.usage.record import CostStatus

STATUSES: Final[tuple[CostStatus, ...]] = get_args(CostStatus)
OnlyOption = Annotated[
    str,
    typer.Option(
        "--only", metavar="STATUS,...", help=f"Rows of these cost statuses alone: {', '.join(STATUSES)}."
    ),
]
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Say what would change; change nothing.")]


def register(app: typer.Typer) -> None:
    app.command()(reprice)


def reprice(
    since: SinceOption,
    until: UntilOption = None,
    only: OnlyOption = "",
    dry_run: DryRunOption = False,
    config: ConfigOption = None,
    format: FormatOption = Format.table,  # noqa: A002 - the option's name
) -> None:
    """Work out the cost of stored rows again, by the prices known now for the day each was served.

    Mends rows of models that had no price when they came, and follows corrected or own prices. Rows
    whose cost stays the same are left untouched. Prints what changed, by provider and model.
    """
    now = datetime.now(UTC)
    settings = load(config, os.environ)
    query = RepriceQuery(
        since=parse_since(since, now),
        until=now if until is None else parse_since(until, now, option="--until"),
        only=_statuses(only),
        priced_by=price_sources(settings),
    )
    with_rows(settings)
    ledger = open_ledger(settings)
    try:
        answer = ledger.reprice(query, dry_run=dry_run)
    finally:
        ledger.close()
    write(answer, format)
    note(_summary(answer, dry_run))


def _statuses(text: str) -> tuple[CostStatus, ...]:
    asked = [part.strip() for part in text.split(",") if part.strip()]
    for status in asked:
        if status not in STATUSES:
            raise typer.BadParameter(
                f"{status!r} is no cost status; there are {', '.join(STATUSES)}", param_hint="--only"
            )
    return tuple(status for status in STATUSES if status in asked)


def _summary(answer: Table, dry_run: bool) -> str:
    lines = answer.dicts()
    looked_at, changed = (sum(line[column] for line in lines) for column in ("rows", "changed"))
    before, after = (_together(lines, column) for column in ("cost_before_usd", "cost_after_usd"))
    verb = "would change" if dry_run else "changed"
    return f"{changed:,} of {looked_at:,} rows {verb}; together {before} before, {after} after."


def _together(lines: list[dict[str, Any]], column: str) -> str:
    from byline.cli.report_table import dollars, money_places

    known: list[Decimal] = [line[column] for line in lines if line[column] is not None]
    total = sum(known, start=Decimal(0))
    return dollars(total, money_places([total])) if known else "no known cost"
