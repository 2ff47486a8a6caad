"""`byline sql`: one SELECT over the ledger."""

from __future__ import annotations

import re
import sys
from typing import Annotated, Final

import typer

from byline.cli.output import ConfigOption, Format, FormatOption, write
from byline.cli.reading import progress, reading
from byline.usage.ledger import SqlLimits

_COST: Final = re.compile(r"(?<![a-z])usd(?![a-z])", re.IGNORECASE)
"""In the name of a column of dollars: `cost_usd`, `sum(cost_usd)`, `usd_before`."""


def register(app: typer.Typer) -> None:
    app.command()(sql)


def sql(
    text: Annotated[str, typer.Argument(metavar="SELECT", help="The query; - reads it from stdin.")],
    max_rows: Annotated[int, typer.Option(min=1, help="More rows than this are an error.")] = 100_000,
    config: ConfigOption = None,
    format: FormatOption = Format.table,  # noqa: A002 - the option's name
) -> None:
    """Answer one SELECT over api_usage and api_events, read-only, bounded in time and memory."""
    query = sys.stdin.read() if text == "-" else text
    with reading(config) as (ledger, settings), progress("Querying"):
        limits = SqlLimits(timeout_s=float(settings.ledger.sql_timeout), max_rows=max_rows)
        table = ledger.sql(query, limits)
    if format is Format.table:
        from byline.cli.report_table import show

        costs = [name for name in table.columns if _COST.search(name)]
        show(table, headings={name: name for name in table.columns}, money=costs)
    else:
        write(table, format)
