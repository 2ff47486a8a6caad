"""`byline ingest`: brings what client runtimes wrote into journals to the ledger."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from byline.cli.output import ConfigOption, Format, FormatOption, note, write
from byline.settings import load
from byline.usage.ledger import Table


def register(app: typer.Typer) -> None:
    app.command()(ingest)


def ingest(
    directories: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[DATA_DIR]...",
            help="Further data directories whose journals are taken over, such as one copied from elsewhere.",
            show_default=False,
        ),
    ] = None,
    config: ConfigOption = None,
    format: FormatOption = Format.table,  # noqa: A002 - the option's name
) -> None:
    """Bring rows and events that wait in the journal to the ledger. A running server does that by itself."""
    from byline.assembly import ingest as ingesting

    settings = load(config, os.environ)
    rows: list[tuple[str, int, int, int]] = []
    for directory in directories or ():
        taken = ingesting.take_over(settings, directory)
        rows.append((str(directory), taken.rows, taken.events, taken.refused_rows))
    drained = ingesting.ingest(settings)
    if drained is None:
        note("A server runs in this data directory and brings in what its journal holds.")
    else:
        rows.append((str(settings.data_dir), drained.rows, drained.events, drained.refused_rows))
    write(Table(columns=("journal", "rows", "events", "refused"), rows=list(rows)), format)
