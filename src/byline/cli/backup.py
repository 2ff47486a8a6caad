"""`byline backup`: a copy of everything that can't be made again, while serving goes on."""

from __future__ import annotations

import sqlite3
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Annotated

import typer

from byline.cli.existing import with_anything
from byline.cli.output import CommandError, ConfigOption, note
from byline.cli.reading import progress, reading, writing


def register(app: typer.Typer) -> None:
    app.command()(backup)


def backup(
    directory: Annotated[Path, typer.Argument(help="A new or empty directory to put the copies in.")],
    config: ConfigOption = None,
) -> None:
    """Copy ledger and control data. To restore: stop the server, put the files into data_dir, start.

    A restored ledger knows everybody again whom `byline forget` has replaced since: run that again before
    the start.
    """
    from byline.assembly.ledger import backup_control

    with writing(directory):
        if directory.exists() and any(directory.iterdir()):
            raise CommandError(f"{directory} is not empty: name a new directory")
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (
        reading(config, existing=with_anything) as (ledger, settings),
        progress("Copying the ledger") as advanced,
        _all_or_nothing(directory),
    ):
        with writing(directory):
            backup_control(settings, directory)
        ledger.backup(directory.absolute() / "ledger.duckdb", advanced)
    from rich.filesize import decimal

    size = sum(file.stat().st_size for file in directory.iterdir())
    note(f"Copied {decimal(size)} to {directory}.")


@contextmanager
def _all_or_nothing(directory: Path) -> Generator[None]:
    """Half a backup is none, and would be in the way of the next attempt. The directory was empty before."""
    try:
        yield
    except BaseException as error:
        for file in directory.iterdir():
            with suppress(OSError):
                file.unlink()
        if isinstance(error, sqlite3.Error):
            raise CommandError(f"can't copy keys and jobs to {directory}: {error}") from error
        raise
