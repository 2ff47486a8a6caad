"""`byline events`: what `api_events` holds, as it comes in, and what each sink would see of an event."""

from __future__ import annotations

import os
import textwrap
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec
import typer

from byline.cli.output import CommandError, ConfigOption, Format, FormatOption, note, plain, printable, write
from byline.cli.reading import cut_to, reading
from byline.cli.times import SinceOption, TzOption, UntilOption, parse_since, parse_until, parse_zone
from byline.settings import load
from byline.telemetry.event import Event, EventContext
from byline.telemetry.metadata import Metadata, PiiMetadata, add_pii, check_key, safe_copy
from byline.telemetry.verified import (
    UnsafeMetadata,
    i_verified_this_is_not_code_or_filepaths,
    i_verified_this_is_pii_tagged,
    not_code_or_path,
)
from byline.usage.columns import EVENT_COLUMNS
from byline.usage.ledger import LedgerUnavailable, SqlLimits, Table

_IN_TABLE: Final = ("occurred_at", "event_name", "source", "program", "user", "job", "metadata")
_LATE: Final = timedelta(minutes=10)
"""How far back each look of `tail` reaches: programs deliver events late, never in order."""
NOTHING: Final = "nothing: the event is not on this sink's list"
_TAIL_ROWS: Final = 1000

NameOption = Annotated[str | None, typer.Option("--name", help="Events of this name.", show_default=False)]
UserOption = Annotated[str | None, typer.Option(help="Of this user.", show_default=False)]
JobOption = Annotated[str | None, typer.Option(help="Of this job.", show_default=False)]
ProgramOption = Annotated[str | None, typer.Option(help="Of this program.", show_default=False)]


def register(app: typer.Typer) -> None:
    events = typer.Typer(
        help="Telemetry events: look at them, follow them, audit them.", no_args_is_help=True
    )
    events.command()(query)
    events.command()(tail)
    events.command()(audit)
    app.add_typer(events, name="events")


def query(
    name: NameOption = None,
    user: UserOption = None,
    job: JobOption = None,
    program: ProgramOption = None,
    since: SinceOption = "1h",
    until: UntilOption = None,
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="At most so many.")] = 50,
    tz: TzOption = "UTC",
    config: ConfigOption = None,
    format: FormatOption = Format.table,  # noqa: A002 - the option's name
) -> None:
    """Events, newest first; without the columns of personal values."""
    now, zone = datetime.now(UTC), parse_zone(tz)
    equal = {"event_name": name, "user": user, "job": job, "program": program}
    text = _select(equal, parse_since(since, now, zone), parse_until(until, since, now, zone), limit + 1)
    with reading(config) as (ledger, settings):
        limits = SqlLimits(timeout_s=float(settings.ledger.sql_timeout), max_rows=limit + 1)
        found = ledger.sql(text, limits)
    with cut_to(limit, found) as table:
        _print(table, format)


def _print(table: Table, format: Format) -> None:  # noqa: A002
    if format is not Format.table:
        write(_with_metadata(table), format)
    elif table.rows:
        write(_shortened(table), format)
    else:
        note("No events in this time.")


def tail(
    name: NameOption = None,
    user: UserOption = None,
    job: JobOption = None,
    program: ProgramOption = None,
    since: SinceOption = "1m",
    interval: Annotated[float, typer.Option(min=0.2, help="Seconds between two looks.")] = 1.0,
    config: ConfigOption = None,
) -> None:
    """Print events since then, and further ones as they come in, one JSON object a line, until interrupted."""
    follower = _Follower(
        config,
        {"event_name": name, "user": user, "job": job, "program": program},
        parse_since(since, datetime.now(UTC)),
    )
    try:
        while True:
            for row in follower.look(datetime.now(UTC)):
                typer.echo(msgspec.json.encode({key: plain(value) for key, value in row.items()}).decode())
            time.sleep(interval)
    except KeyboardInterrupt:
        return


def audit(
    name: Annotated[str, typer.Argument(metavar="EVENT", help="The event's name.")],
    metadata: Annotated[
        str, typer.Argument(metavar="JSON", help="Its metadata, such as '{\"shards\": 12}'.")
    ] = "{}",
    pii: Annotated[
        str, typer.Option(metavar="JSON", help='Its personal values, such as \'{"email": "a@b.org"}\'.')
    ] = "{}",
    user: Annotated[str | None, typer.Option(help="Logged for this user.", show_default=False)] = None,
    job: Annotated[str | None, typer.Option(help="Logged for this job.", show_default=False)] = None,
    vouch: Annotated[
        bool,
        typer.Option(
            "--vouch", help="Take strings that only a person could let pass, as i_verified_... does."
        ),
    ] = False,
    config: ConfigOption = None,
    format: FormatOption = Format.table,  # noqa: A002 - the option's name
) -> None:
    """Show for each sink exactly what it would receive of an event. Nothing is sent."""
    from byline.assembly import events

    event = _event(name, _object(metadata, "metadata"), _object(pii, "--pii"), vouch)
    event = event._replace(context=EventContext(user=user, job=job))
    received = events.audit(event, load(config, os.environ))
    shown = [(each.sink, each.shown is not None, each.shown) for each in received]
    if format is not Format.table:
        write(Table(("sink", "receives", "what"), shown), format)
        return
    for sink, receives, what in shown:
        typer.echo(f"{sink}\n{textwrap.indent(_indented(what) if receives else NOTHING, '    ')}\n")


def _event(name: str, metadata: Mapping[str, Any], pii: Mapping[str, Any], vouch: bool) -> Event:
    mark = i_verified_this_is_not_code_or_filepaths if vouch else not_code_or_path
    try:
        check_key(name)
        marked: Metadata = {key: _marked(key, value, mark) for key, value in metadata.items()}
        tagged: PiiMetadata = {key: i_verified_this_is_pii_tagged(str(value)) for key, value in pii.items()}
        values = safe_copy(marked)
        add_pii(values, tagged)
    except UnsafeMetadata as error:
        raise CommandError(f"this event would be refused: {error}") from error
    return Event(name, values, time.time())


def _marked(key: str, value: Any, mark: Any) -> Any:
    try:
        return mark(value) if isinstance(value, str) else value
    except UnsafeMetadata as error:
        raise UnsafeMetadata(f"{key}: {error}") from None


def _object(text: str, what: str) -> dict[str, Any]:
    try:
        return msgspec.json.decode(text, type=dict[str, Any])
    except msgspec.MsgspecError as error:
        raise typer.BadParameter(f"{what} must be a JSON object: {error}") from None


def _indented(what: object) -> str:
    text = (
        what if isinstance(what, str) else msgspec.json.format(msgspec.json.encode(what), indent=2).decode()
    )
    return printable(text)


class _Follower:
    """Remembers what it has shown. Events from before `begin` that only now arrive are shown too."""

    def __init__(self, config: Path | None, equal: Mapping[str, str | None], begin: datetime) -> None:
        self._config = config
        self._equal = equal
        self._begin = begin
        self._seen: set[str] | None = None

    def look(self, now: datetime) -> list[dict[str, Any]]:
        """Oldest first."""
        reach = now - _LATE
        since = min(self._begin, reach) if self._seen is None else reach
        try:
            rows = list(reversed(self._rows(since)))
        except LedgerUnavailable as error:
            note(f"waiting for the ledger: {error}")
            return []
        if self._seen is None:
            new = [row for row in rows if row["occurred_at"] >= self._begin]
        else:
            new = [row for row in rows if row["event_id"] not in self._seen]
        self._seen = {row["event_id"] for row in rows}
        return new

    def _rows(self, since: datetime) -> list[dict[str, Any]]:
        """Opens the ledger each time, so that a server may start, stop and restart meanwhile."""
        with reading(self._config) as (ledger, settings):
            limits = SqlLimits(timeout_s=float(settings.ledger.sql_timeout), max_rows=_TAIL_ROWS)
            table = ledger.sql(_select(self._equal, since, None, _TAIL_ROWS), limits)
        return _with_metadata(table).dicts()


def _select(equal: Mapping[str, str | None], since: datetime, until: datetime | None, limit: int) -> str:
    conditions = [f"occurred_at >= {_time(since)}"]
    if until is not None:
        conditions.append(f"occurred_at < {_time(until)}")
    conditions += [f'"{column}" = {_text(value)}' for column, value in equal.items() if value is not None]
    columns = ", ".join(f'"{column}"' for column in EVENT_COLUMNS)
    return (
        f"SELECT {columns} FROM api_events WHERE {' AND '.join(conditions)} "  # noqa: S608 - quoted below
        f"ORDER BY occurred_at DESC, event_id DESC LIMIT {limit}"
    )


def _time(at: datetime) -> str:
    return f"CAST('{at.astimezone(UTC).isoformat()}' AS TIMESTAMPTZ)"


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


def _shortened(table: Table) -> Table:
    return Table(_IN_TABLE, [tuple(row[name] for name in _IN_TABLE) for row in table.dicts()])


def _with_metadata(table: Table) -> Table:
    """The metadata as an object, so that JSON output nests it rather than quoting it."""
    at = table.columns.index("metadata")
    rows = [(*row[:at], _decoded(row[at]), *row[at + 1 :]) for row in table.rows]
    return Table(table.columns, rows)


def _decoded(value: str | None) -> Any:
    return None if value is None else msgspec.json.decode(value)
