"""`byline export`: rows as a file for other tools."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from byline.cli.output import CommandError, ConfigOption, note
from byline.cli.reading import WhereOption, parse_where, progress, reading, writing
from byline.cli.times import SinceOption, TzOption, UntilOption, parse_since, parse_until, parse_zone
from byline.usage.ledger import ExportQuery


class ExportFormat(StrEnum):
    parquet = "parquet"
    csv = "csv"


def register(app: typer.Typer) -> None:
    app.command()(export)


def export(
    file: Annotated[Path, typer.Argument(help="The file to write, ending in .parquet or .csv.")],
    since: SinceOption = "30d",
    until: UntilOption = None,
    tz: TzOption = "UTC",
    where: WhereOption = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is there.")] = False,
    format: Annotated[  # noqa: A002 - the option's name
        ExportFormat | None,
        typer.Option("--format", help="By the file's ending if absent.", show_default=False),
    ] = None,
    config: ConfigOption = None,
) -> None:
    """Write every column of the rows of a time to a Parquet or CSV file."""
    if str(file) == "-":
        raise typer.BadParameter(
            "rows go to a file: name one, or ask `byline requests --format csv` for stdout", param_hint="FILE"
        )
    now, zone = datetime.now(UTC), parse_zone(tz)
    query = ExportQuery(
        since=parse_since(since, now, zone),
        until=parse_until(until, since, now, zone),
        where=parse_where(where),
        format=(format or _by_ending(file)).value,
    )
    if file.exists() and not force:
        raise CommandError(f"{file} exists already: name another file, or add --force")
    if not file.absolute().parent.is_dir():
        raise CommandError(f"no directory {file.absolute().parent}")
    with reading(config) as (ledger, _), progress(f"Writing {file.name}") as advanced:
        written = ledger.export(query, advanced)
        _move(written, file)
    from rich.filesize import decimal

    note(f"Wrote {file} ({decimal(file.stat().st_size)}).")


def _move(written: Path, file: Path) -> None:
    """What can't be moved is removed: the outbox is emptied only when the ledger is opened anew."""
    try:
        with writing(file):
            shutil.move(written, file)
    finally:
        written.unlink(missing_ok=True)


def _by_ending(file: Path) -> ExportFormat:
    try:
        return ExportFormat(file.suffix.removeprefix(".").lower())
    except ValueError:
        raise typer.BadParameter(
            f"{file.name} ends in neither .parquet nor .csv: rename it or give --format"
        ) from None
