"""`byline forget`: a pseudonym in place of a person, sums untouched."""

from __future__ import annotations

import os
import secrets
from typing import Annotated

import typer

from byline.cli.output import CommandError, ConfigOption, note
from byline.cli.reading import progress
from byline.settings import load


def register(app: typer.Typer) -> None:
    app.command()(forget)


def forget(
    user: Annotated[str, typer.Argument(help="The username as rows have it.")],
    yes: Annotated[bool, typer.Option("--yes", help="Don't ask: it can't be undone.")] = False,
    config: ConfigOption = None,
) -> None:
    """Replace a user by a random pseudonym in every row, sum and event; costs and counts stay.

    Rows of requests still under way arrive afterwards: revoke the user's keys first, and run it again
    when the last stream has ended. Backups and exports made before are not changed.
    """
    from byline.assembly.ledger import open_ledger

    if not user:
        raise typer.BadParameter("name a user")
    if not yes:
        typer.confirm(f"Replace {user!r} in all rows? This can't be undone.", abort=True, err=True)
    pseudonym = f"forgotten-{secrets.token_hex(6)}"
    ledger = open_ledger(load(config, os.environ))
    try:
        with progress("Forgetting"):
            rows = ledger.forget(user, pseudonym)
    finally:
        ledger.close()
    if not rows:
        raise CommandError(f"no row of a user {user!r}")
    note(f"{rows:,} rows now say {pseudonym}.")
