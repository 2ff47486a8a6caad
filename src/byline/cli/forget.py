"""`byline forget`: a pseudonym in place of a person, sums untouched."""

from __future__ import annotations

import os
import secrets
from datetime import UTC, datetime
from typing import Annotated, Final

import typer

from byline.cli.existing import with_rows
from byline.cli.output import CommandError, ConfigOption, note
from byline.cli.reading import progress
from byline.settings import load
from byline.usage.ledger import LedgerReader, RequestsQuery, SqlLimits, UsageQuery

_EVER: Final = datetime(1970, 1, 1, tzinfo=UTC)


def register(app: typer.Typer) -> None:
    app.command()(forget)


def forget(
    user: Annotated[str, typer.Argument(help="The username as rows have it.")],
    yes: Annotated[bool, typer.Option("--yes", help="Don't ask: it can't be undone.")] = False,
    config: ConfigOption = None,
) -> None:
    """Replace a user by a random pseudonym in every row, sum and event; costs and counts stay.

    Rows of requests still under way arrive afterwards: revoke the user's keys first, and run it again
    when the last stream has ended. Backups and exports made before are not changed: run it again after
    a restore from one. Keys and jobs are not changed either.
    """
    from byline.assembly.ledger import open_ledger

    if not user:
        raise typer.BadParameter("name a user", param_hint="USER")
    settings = load(config, os.environ)
    with_rows(settings)
    if not yes:
        # Nothing is held open while a person thinks: a server could not start meanwhile.
        _look_up(open_ledger(settings), user)
        typer.confirm(f"Replace {user!r} in all rows? This can't be undone.", abort=True, err=True)
    pseudonym = f"forgotten-{secrets.token_hex(6)}"
    ledger = open_ledger(settings)
    try:
        _check_known(ledger, user)
        with progress("Forgetting"):
            rows = ledger.forget(user, pseudonym)
    finally:
        ledger.close()
    note(f"{rows:,} rows now say {pseudonym}; so do daily sums and events.")
    note("Backups made before still have the name: run this again after a restore from one.")


def _look_up(ledger: LedgerReader, user: str) -> None:
    """Closes the ledger."""
    try:
        _check_known(ledger, user)
    finally:
        ledger.close()


def _check_known(ledger: LedgerReader, user: str) -> None:
    if not (_has_rows(ledger, user) or _has_events(ledger, user)):
        raise CommandError(
            f"no row of a user {user!r}; `byline usage --by user --since 90d` lists those there are"
        )


def _has_rows(ledger: LedgerReader, user: str) -> bool:
    """As the user of rows or daily sums, or as whom another's request claimed to be."""
    return bool(
        ledger.usage(UsageQuery(by=("user",), since=_EVER, where={"user": user})).rows
        or ledger.requests(RequestsQuery(since=_EVER, where={"claimed_user": user}, limit=1)).rows
    )


def _has_events(ledger: LedgerReader, user: str) -> bool:
    literal = "'" + user.replace("'", "''") + "'"
    found = ledger.sql(f'SELECT 1 FROM api_events WHERE "user" = {literal} LIMIT 1', SqlLimits())  # noqa: S608 - quoted
    return bool(found.rows)
