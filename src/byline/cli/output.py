"""What commands print: data on stdout as table, JSON or CSV; everything else on stderr.

Values come from clients too (claimed jobs, user agents), so nothing printed for a terminal may hold
control characters or be read as markup.
"""

from __future__ import annotations

import csv
import sys
import unicodedata
from collections.abc import Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec
import typer

from byline.usage.ledger import Table

UNWRAPPED_WIDTH: Final = 10_000
"""Columns when stdout is no terminal: a pipe gets one line per row."""


class Format(StrEnum):
    table = "table"
    json = "json"
    csv = "csv"


ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config", metavar="FILE", help="Settings file; byline.toml if it exists.", show_default=False
    ),
]
FormatOption = Annotated[Format, typer.Option("--format", help="How to print the rows.")]


class CommandError(Exception):
    """The command failed: its message goes to stderr as `byline: MESSAGE`, and the exit code is 1."""


def note(text: str) -> None:
    """Progress and warnings: stderr, so that stdout stays data."""
    typer.echo(text, err=True)


def write(
    table: Table,
    format: Format = Format.table,  # noqa: A002 - the option's name
    *,
    title: str | None = None,
    goes_on: bool = False,
) -> None:
    """`goes_on`: more rows of a stream whose columns CSV has named already."""
    match format:
        case Format.json:
            _write_json(table)
        case Format.csv:
            _write_csv(table, named=goes_on)
        case Format.table:
            _write_table(table, title)


def write_object(fields: Mapping[str, Any], format: Format = Format.table) -> None:  # noqa: A002
    """One thing: a JSON object, or its fields line by line."""
    if format is Format.json:
        typer.echo(_json(fields))
    elif format is Format.csv:
        _write_csv(Table(columns=tuple(fields), rows=[tuple(fields.values())]))
    else:
        _write_table(Table(columns=("field", "value"), rows=list(fields.items())), None)


def plain(value: Any) -> Any:
    """A value as JSON and CSV show it: money a decimal string, times ISO 8601 in UTC."""
    match value:
        case Decimal():
            return format(value, "f")
        case datetime():
            aware = value if value.tzinfo else value.replace(tzinfo=UTC)
            return aware.astimezone(UTC).isoformat().replace("+00:00", "Z")
        case date():
            return value.isoformat()
        case _:
            return value


def printable(text: str) -> str:
    """`text` without control, format and line-breaking characters, which show as U+FFFD."""
    return "".join(
        char if unicodedata.category(char)[0] != "C" or char == "\n" else "\ufffd" for char in text
    )


def _json(fields: Mapping[str, Any]) -> str:
    return msgspec.json.encode({key: plain(value) for key, value in fields.items()}).decode()


def _write_json(table: Table) -> None:
    lines = ",\n".join(_json(row) for row in table.dicts())
    typer.echo(f"[{lines}]")


def _write_csv(table: Table, *, named: bool = False) -> None:
    writer = csv.writer(sys.stdout, lineterminator="\n")
    if not named:
        writer.writerow(table.columns)
    for row in table.rows:
        writer.writerow([_csv_cell(value) for value in row])


def _csv_cell(value: Any) -> Any:
    if isinstance(value, (dict, list)):
        return msgspec.json.encode(value).decode()
    if isinstance(value, bool):
        return "true" if value else "false"
    return plain(value)


def _write_table(table: Table, title: str | None) -> None:
    # Rich takes a while to load, and a program that reads JSON needs none of it.
    from byline.cli.report_table import show

    show(table, title=title)
