"""`byline quota`: what the providers still allow each upstream credential, as their last answers said."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from byline.assembly.data_dir import open_data_dir
from byline.cli.control import time_of
from byline.cli.output import ConfigOption, Format, FormatOption, note, printable, write
from byline.gateway.quota import CredentialQuota, read_kept
from byline.quota.notice import quota_notice
from byline.quota.snapshot import Window
from byline.quota.statusline import bar, fullest, model_of_session, statusline, windows_of_session
from byline.settings import load
from byline.usage.ledger import Table

COLUMNS: Final = (
    "provider", "credential", "window", "status", "utilization", "remaining", "limit", "resets_at", "observed_at",
)  # fmt: skip
_WATCH_INTERVAL_S: Final = 1.0
_BAR_CELLS: Final = 20


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
    config: ConfigOption = None,
    format: FormatOption = Format.table,  # noqa: A002 - the option's name
) -> None:
    """Show the limits of the upstream credentials: how much is used, and when they open again."""
    status = open_data_dir(load(config, os.environ)).status
    if as_statusline:
        typer.echo(printable(_statusline(status)))
        return
    if watch:
        with contextlib.suppress(KeyboardInterrupt):
            _watch(status)
        return
    _show(status, format)


def _show(status: Path, format: Format) -> None:  # noqa: A002
    kept, now = read_kept(status), time.time()
    write(_table(kept, now, bars=format is Format.table), format)
    if not kept:
        note("No provider has said anything of its limits yet: they come with the first answer.")
    if format is Format.table:
        for text in _notices(kept, now):
            note(text)


def _watch(status: Path) -> None:
    from rich.live import Live

    from byline.cli.report_table import console, rendered

    with Live(console=console(), auto_refresh=False) as live:
        while True:
            live.update(rendered(_table(read_kept(status), time.time(), bars=True)), refresh=True)
            time.sleep(_WATCH_INTERVAL_S)


def _table(kept: list[CredentialQuota], now: float, *, bars: bool) -> Table:
    rows: list[tuple[Any, ...]] = []
    for each in kept:
        snapshot = each.snapshot.as_of(now)
        for name, window in snapshot.windows.items():
            rows.append((
                each.provider, each.credential, name, window.status, _used(window, bars=bars), window.remaining, window.limit,
                time_of(window.resets_at), time_of(snapshot.observed_at),
            ))  # fmt: skip
    return Table(columns=COLUMNS, rows=rows)


def _used(window: Window, *, bars: bool) -> float | str | None:
    used = window.utilization
    if used is None or not bars:
        return used
    return f"{bar(used, _BAR_CELLS)} {used * 100:.0f} %"


def _notices(kept: list[CredentialQuota], now: float) -> list[str]:
    found: list[str] = []
    for each in kept:
        notice = quota_notice(each.snapshot.as_of(now))
        if notice is not None:
            found.append(printable(f"{each.provider} {each.credential}: {notice.text}"))
    return found


def _statusline(status: Path) -> str:
    """The session's own limits where Claude Code knows them, else those of the gateway's credentials."""
    session = _session()
    now = time.time()
    windows = windows_of_session(session) or fullest((each.snapshot for each in read_kept(status)), now)
    return statusline(windows, now, model=model_of_session(session))


def _session() -> object:
    if sys.stdin.isatty():
        return None
    try:
        return json.load(sys.stdin)
    except (ValueError, OSError):
        return None
