"""What the reporting commands share: options, the open ledger, and a bar for what takes long."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Final

import typer

from byline.cli.existing import with_rows
from byline.cli.output import CommandError, note
from byline.settings import Settings, load
from byline.usage.ledger import DIMENSIONS, Dimension, LedgerReader, Progress, QueryError, Table

_SILENT_S: Final = 1.0
"""What takes no longer shows no bar."""

WhereOption = Annotated[
    list[str] | None,
    typer.Option(
        "--where",
        metavar="COLUMN=VALUE",
        help="Only rows whose column has this value; COLUMN= for those without. Repeatable.",
        show_default=False,
    ),
]


@contextmanager
def reading(
    config: Path | None, *, existing: Callable[[Settings], object] = with_rows
) -> Generator[tuple[LedgerReader, Settings]]:
    """The ledger, opened for the time of a command; what is wrong with a question ends the command.

    So does a directory that holds nothing to read, by `existing`.
    """
    from byline.assembly.ledger import open_ledger

    settings = load(config, os.environ)
    existing(settings)
    ledger = open_ledger(settings)
    try:
        yield ledger, settings
    except QueryError as error:
        raise CommandError(str(error)) from error
    finally:
        ledger.close()


@contextmanager
def writing(target: Path) -> Generator[None]:
    """What the file system refuses ends the command in a line that names the file."""
    try:
        yield
    except OSError as error:
        raise CommandError(f"can't write {error.filename or target}: {error.strerror or error}") from error


@contextmanager
def cut_to(limit: int, table: Table) -> Generator[Table]:
    """The newest `limit` of rows that were asked for with one more, and afterwards a word on stderr if there are more."""
    yield Table(table.columns, table.rows[:limit])
    if len(table.rows) > limit:
        note(f"Cut at the newest {limit:,}: --limit shows more, --until older ones.")


def parse_by(text: str) -> tuple[Dimension, ...]:
    names = tuple(name.strip() for name in text.split(",") if name.strip())
    unknown = [name for name in names if name not in DIMENSIONS]
    if unknown:
        raise typer.BadParameter(
            f"can't group by {unknown[0]!r}: choose among {', '.join(DIMENSIONS)}", param_hint="--by"
        )
    if len(set(names)) != len(names):
        raise typer.BadParameter(f"{text!r} names a group twice: write each once", param_hint="--by")
    return names


def parse_where(given: list[str] | None) -> dict[str, str]:
    where: dict[str, str] = {}
    for text in given or []:
        name, equals, value = text.partition("=")
        if not equals:
            raise typer.BadParameter(f"{text!r} is not COLUMN=VALUE, such as user=ann", param_hint="--where")
        where[name.strip()] = value
    return where


@contextmanager
def progress(title: str) -> Generator[Progress]:
    """A bar on stderr, if that is a terminal and the work takes over a second.

    Call what it gives with the done share; until then the bar only shows that work goes on.
    """
    if not sys.stderr.isatty():
        yield _ignore
        return
    bar = _Bar(title)
    timer = threading.Timer(_SILENT_S, bar.show)
    timer.daemon = True
    timer.start()
    try:
        yield bar.advance
    finally:
        timer.cancel()
        bar.close()


def _ignore(share: float) -> None:
    """Progress that nobody watches."""


class _Bar:
    def __init__(self, title: str) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

        columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
        self._progress = Progress(*columns, console=Console(stderr=True), transient=True)
        self._task = self._progress.add_task(title, total=None)
        self._lock = threading.Lock()
        self._closed = False

    def show(self) -> None:
        with self._lock:
            if not self._closed:
                self._progress.start()

    def advance(self, share: float) -> None:
        self._progress.update(self._task, total=1.0, completed=min(share, 1.0))

    def close(self) -> None:
        with self._lock:
            self._closed = True
            self._progress.stop()
