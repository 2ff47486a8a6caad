"""`byline backup`: a copy of everything that can't be made again, while serving goes on."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from byline.cli.output import CommandError, ConfigOption, note
from byline.cli.reading import progress, reading


def register(app: typer.Typer) -> None:
    app.command()(backup)


def backup(
    directory: Annotated[Path, typer.Argument(help="A new or empty directory to put the copies in.")],
    config: ConfigOption = None,
) -> None:
    """Copy ledger and control data. To restore: stop the server, put the files into data_dir, start."""
    from byline.assembly.ledger import backup_control

    if directory.exists() and any(directory.iterdir()):
        raise CommandError(f"{directory} is not empty: name a new directory")
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    with reading(config) as (ledger, settings), progress("Copying the ledger") as advanced:
        backup_control(settings, directory)
        ledger.backup(directory.absolute() / "ledger.duckdb", advanced)
    from rich.filesize import decimal

    size = sum(file.stat().st_size for file in directory.iterdir())
    note(f"Copied {decimal(size)} to {directory}.")
