"""`byline quota`: what the providers still allow each upstream credential, as their last answers said."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
from datetime import tzinfo
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from byline.assembly.data_dir import DataDir
from byline.cli.control import time_of
from byline.cli.existing import with_anything
from byline.cli.output import ConfigOption, Format, FormatOption, note, printable, write
from byline.cli.quota_table import options, people_table
from byline.cli.times import parse_zone
from byline.gateway.quota import CredentialQuota, read_kept
from byline.quota.notice import quota_notice
from byline.quota.statusline import fullest, model_of_session, statusline, windows_of_session
from byline.settings import load
from byline.usage.ledger import Table

COLUMNS: Final = (
    "provider", "credential", "window", "status", "utilization", "remaining", "limit", "resets_at", "observed_at",
)  # fmt: skip
_WATCH_INTERVAL_S: Final = 1.0


def register(app: typer.Typer) -> None:
    app.command()(quota)


def quota(
    watch: Annotated[bool, typer.Option("--watch", help="Show it again each second, until Ctrl-C.")] = False,
    as_statusline: Annotated[
        bool,
        typer.Option(
            "--statusline", help="One line; reads the JSON that Claude Code gives its status line from stdin."
        ),
    ] = False,
    tz: Annotated[
        str | None,
        typer.Option(
            "--tz", metavar="ZONE", help="Time zone of the table; yours if absent.", show_default=False
        ),
    ] = None,
    config: ConfigOption = None,
    format: FormatOption = Format.table,  # noqa: A002 - the option's name
) -> None:
    """Show the limits of the upstream credentials: how much is used, and when they open again.

    Those of clients' own keys are their owners' matter, and kept with each row only.
    """
    zone = None if tz is None else parse_zone(tz)
    if watch and (as_statusline or format is not Format.table):
        raise typer.BadParameter("--watch shows the table: leave out --statusline and --format")
    settings = load(config, os.environ)
    if as_statusline:
        # A client's status line: it speaks of the session where there is no data directory, and makes none.
        typer.echo(printable(_statusline(DataDir(settings.data_dir).status, zone)))
        return
    status = with_anything(settings).status
    if watch:
        with contextlib.suppress(KeyboardInterrupt):
            _watch(status, zone)
    elif format is Format.table:
        _show(status, zone)
    else:
        write(_table(read_kept(status), time.time()), format)


def _show(status: Path, zone: tzinfo | None) -> None:
    from byline.cli.report_table import show

    kept, now = read_kept(status), time.time()
    table = people_table(kept, now, zone)
    show(table, **options(now, zone))
    if not kept:
        note("No provider has said anything of its limits yet: they come with the first answer.")
    elif not table.rows:
        note("Every window the providers spoke of has opened again: the next answer says what it holds now.")
    for text in _notices(kept, now, zone):
        note(text)


def _watch(status: Path, zone: tzinfo | None) -> None:
    from rich.live import Live

    from byline.cli.report_table import console, fitted

    screen = console()
    with Live(console=screen, auto_refresh=False) as live:
        while True:
            now = time.time()
            shown, _ = fitted(people_table(read_kept(status), now, zone), screen, **options(now, zone))
            live.update(shown, refresh=True)
            time.sleep(_WATCH_INTERVAL_S)


def _table(kept: list[CredentialQuota], now: float) -> Table:
    rows: list[tuple[Any, ...]] = []
    for each in kept:
        snapshot = each.snapshot.as_of(now)
        for name, window in snapshot.windows.items():
            rows.append((
                each.provider, each.credential, name, window.status, window.utilization, window.remaining, window.limit,
                time_of(window.resets_at), time_of(snapshot.observed_at),
            ))  # fmt: skip
    return Table(columns=COLUMNS, rows=rows)


def _notices(kept: list[CredentialQuota], now: float, zone: tzinfo | None) -> list[str]:
    found: list[str] = []
    for each in kept:
        notice = quota_notice(each.snapshot.as_of(now))
        if notice is not None:
            text = notice.text if zone is None else notice.in_zone(zone)
            found.append(printable(f"{each.provider} {each.credential}: {text}"))
    return found


def _statusline(status: Path, zone: tzinfo | None) -> str:
    """The session's own limits where Claude Code knows them, else those of the gateway's credentials."""
    session = _session()
    now = time.time()
    windows = windows_of_session(session) or fullest((each.snapshot for each in read_kept(status)), now)
    return statusline(windows, now, zone, model_of_session(session))


def _session() -> object:
    if sys.stdin.isatty():
        return None
    try:
        return json.load(sys.stdin)
    except (ValueError, OSError):
        return None
