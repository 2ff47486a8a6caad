"""`byline jobs`: who owns which job, so that a report can say whom to ask."""

from __future__ import annotations

from typing import Annotated, Final

import typer

from byline.cli.control import control_database
from byline.cli.existing import with_keys
from byline.cli.output import ConfigOption, Format, FormatOption, note, write
from byline.control.actors import find_actor
from byline.control.jobs import Job, list_jobs, set_job
from byline.usage.ledger import Table

COLUMNS: Final = ("job", "owner", "owner_email", "owner_team", "description")

jobs = typer.Typer(help="Jobs and their owners.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    app.add_typer(jobs, name="jobs")


@jobs.command("set")
def set_(
    name: Annotated[str, typer.Argument(help="A job, or a pattern such as `nightly-*`.")],
    owner: Annotated[str, typer.Option(metavar="USER", help="Whom to ask about it; made if new.")],
    description: Annotated[
        str | None, typer.Option(help="What the job does; kept if absent.", show_default=False)
    ] = None,
    config: ConfigOption = None,
    format: FormatOption = Format.table,  # noqa: A002 - the option's name
) -> None:
    """Give a job, or all jobs of a pattern, an owner. An exact name counts before a pattern."""
    with control_database(config) as database:
        known = find_actor(database, owner) is not None
        job = set_job(database, name, owner=owner, description=description)
    if not known:
        note(f"There was no user {owner!r} yet: made one, without a key.")
    _write([job], format)


@jobs.command("list")
def list_(config: ConfigOption = None, format: FormatOption = Format.table) -> None:  # noqa: A002
    """All jobs and patterns with their owners."""
    with control_database(config, directory=with_keys) as database:
        found = list_jobs(database)
    _write(found, format)
    if not found:
        note("No job has an owner yet: byline jobs set 'nightly-*' --owner NAME")


def _write(found: list[Job], format: Format) -> None:  # noqa: A002
    rows = [(job.name, job.owner.username, job.owner.email, job.owner.team, job.description) for job in found]
    write(Table(columns=COLUMNS, rows=rows), format)
