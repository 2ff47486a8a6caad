"""`byline top`: who is using what right now, refreshed until interrupted."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Annotated, Any, Final, NamedTuple

import msgspec
import typer

from byline.cli.output import ConfigOption, Format, FormatOption, note, write
from byline.cli.reading import WhereOption, parse_by, parse_where, reading
from byline.cli.report_table import Options, console, fitted, show
from byline.cli.times import TzOption, parse_span, parse_zone
from byline.usage.ledger import IncidentQuery, LedgerReader, LedgerUnavailable, Table

_SHOWN: Final = ("requests", "per_minute", "tokens", "throttled", "errors", "rejected", "cost_usd")


class _Look(NamedTuple):
    at: datetime
    table: Table
    sums: dict[str, Any] | None
    """Of all groups, where the limit leaves some out."""


def register(app: typer.Typer) -> None:
    app.command()(top)


def top(
    by: Annotated[str, typer.Option(help="Groups, as in byline usage.")] = "user,job",
    window: Annotated[
        str, typer.Option("--since", metavar="SPAN", help="How far back: 5m, 15m, 1h.")
    ] = "15m",
    where: WhereOption = None,
    limit: Annotated[int, typer.Option(min=1, help="How many groups to show.")] = 20,
    interval: Annotated[float, typer.Option(min=0.5, help="Seconds between two looks.")] = 2.0,
    once: Annotated[
        bool, typer.Option("--once", help="Print one look and end, as where stdout is no terminal.")
    ] = False,
    tz: TzOption = "UTC",
    config: ConfigOption = None,
    format: FormatOption = Format.table,  # noqa: A002 - the option's name
) -> None:
    """The heaviest users and jobs of the last minutes, live."""
    groups, filters, zone, span = parse_by(by), parse_where(where), parse_zone(tz), _span(window)

    def look() -> _Look:
        """Opens the ledger each time, so that a server may start, stop and restart meanwhile."""
        with reading(config) as (ledger, _):
            now = datetime.now(UTC)
            query = IncidentQuery(by=groups, since=now - span, until=now, where=filters, limit=limit)
            return _look(ledger, query, span)

    if format is not Format.table:
        write(look().table, format)
    elif once or not sys.stdout.isatty():
        seen = look()
        show(_shown(seen.table), **_options(seen, window, zone))
        if seen.sums:
            note(f"Cut at {limit:,} by --limit; the total is that of all groups.")
    else:
        _refresh(look, window, zone, interval)


def _look(ledger: LedgerReader, query: IncidentQuery, span: timedelta) -> _Look:
    more = msgspec.structs.replace(query, limit=query.limit + 1)
    found = _with_rate(ledger.report(more), span)
    if len(found.rows) <= query.limit:
        return _Look(query.until, found, None)
    over_all = msgspec.structs.replace(query, by=(), limit=1)
    sums = _with_rate(ledger.report(over_all), span).dicts()[0]
    return _Look(query.until, Table(found.columns, found.rows[: query.limit]), sums)


def _span(text: str) -> timedelta:
    span = parse_span(text, option="--since")
    if not span:
        raise typer.BadParameter(
            f"{text!r} is no time at all; write a span such as 15m", param_hint="--since"
        )
    return span


def _with_rate(table: Table, span: timedelta) -> Table:
    """Without the groups that were busy only in the window before."""
    requests, minutes = table.columns.index("requests"), span.total_seconds() / 60
    active = table.columns[requests:]
    busy = [
        row for row in table.rows if any(row[table.columns.index(name)] for name in _SHOWN if name in active)
    ]
    rows = [(*row, row[requests] / minutes) for row in busy]
    return Table((*table.columns, "per_minute"), rows)


def _shown(table: Table) -> Table:
    groups = table.columns[: table.columns.index("requests")]
    names = (*groups, *_SHOWN)
    return Table(names, [tuple(row[name] for name in names) for row in table.dicts()])


def _options(seen: _Look, window: str, zone: tzinfo) -> Options:
    title = f"{seen.at.astimezone(zone):%H:%M:%S %Z}, the last {window}"
    headings = {"per_minute": "per minute"}
    return Options(title=title, zone=zone, totals=_SHOWN, sums=seen.sums, headings=headings)


def _refresh(look: Callable[[], _Look], window: str, zone: tzinfo, interval_s: float) -> None:
    from rich.live import Live
    from rich.text import Text

    screen = console()
    with suppress(KeyboardInterrupt), Live(console=screen, screen=True, auto_refresh=False) as live:
        while True:
            try:
                seen = look()
                shown, _ = fitted(_shown(seen.table), screen, **_options(seen, window, zone))
                live.update(shown, refresh=True)
            except LedgerUnavailable as error:
                live.update(Text(f"Waiting: {error}"), refresh=True)
            time.sleep(interval_s)
