"""`byline requests`: the rows themselves, newest first."""

from __future__ import annotations

from datetime import UTC, datetime, tzinfo
from typing import Annotated, Any, Final, get_args

import msgspec
import typer

from byline.cli.output import ConfigOption, Format, FormatOption, note, write
from byline.cli.reading import WhereOption, cut_to, parse_where, progress, reading
from byline.cli.report_table import show
from byline.cli.times import SinceOption, TzOption, UntilOption, parse_since, parse_until, parse_zone
from byline.usage.columns import USAGE_COLUMNS
from byline.usage.ledger import RequestsQuery, Table
from byline.usage.record import Outcome

_IN_TABLE: Final = (
    "started_at", "user", "job", "model", "outcome", "http_status", "input_tokens", "output_tokens", "cost_usd",
    "duration_ms", "ttft_ms", "request_id",
)  # fmt: skip

OUTCOMES: Final[tuple[str, ...]] = get_args(Outcome)


def register(app: typer.Typer) -> None:
    app.command()(requests)


def requests(
    user: Annotated[str | None, typer.Option(help="Of this user.", show_default=False)] = None,
    job: Annotated[str | None, typer.Option(help="Of this job.", show_default=False)] = None,
    session: Annotated[str | None, typer.Option(help="Of this session.", show_default=False)] = None,
    outcome: Annotated[
        str | None, typer.Option(help="With this outcome, such as upstream_error.", show_default=False)
    ] = None,
    identifier: Annotated[
        str | None,
        typer.Option(
            help="Whom a provider's mail means: what was stamped, or what the client had sent.",
            show_default=False,
        ),
    ] = None,
    since: SinceOption = "1h",
    until: UntilOption = None,
    where: WhereOption = None,
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="At most so many rows.")] = 50,
    tz: TzOption = "UTC",
    config: ConfigOption = None,
    format: FormatOption = Format.table,  # noqa: A002 - the option's name
) -> None:
    """Single requests, newest first; JSON and CSV hold every column."""
    if outcome is not None and outcome not in OUTCOMES:
        raise typer.BadParameter(f"--outcome {outcome}: choose among {', '.join(OUTCOMES)}")
    now, zone = datetime.now(UTC), parse_zone(tz)
    query = RequestsQuery(
        since=parse_since(since, now, zone),
        until=parse_until(until, since, now, zone),
        user=user, job=job, session=session, outcome=outcome, identifier=identifier,
        where=parse_where(where),
        limit=limit + 1,
    )  # fmt: skip
    with reading(config) as (ledger, _), progress("Looking for rows"):
        found = ledger.requests(query)
    with cut_to(limit, found) as table:
        _print(table, zone, format)


def _print(table: Table, zone: tzinfo, format: Format) -> None:  # noqa: A002
    if format is not Format.table:
        write(_with_json_values(table), format)
        return
    show(_shortened(table), zone=zone)
    if not table.rows:
        note("No requests in this time.")


def _shortened(table: Table) -> Table:
    rows = [row | {"model": row["model_reported"] or row["model_requested"]} for row in table.dicts()]
    return Table(_IN_TABLE, [tuple(row[name] for name in _IN_TABLE) for row in rows])


def _with_json_values(table: Table) -> Table:
    """JSON columns as values, so that JSON output nests them rather than quoting them."""
    is_json = [USAGE_COLUMNS.get(name) == "json" for name in table.columns]
    rows = [
        tuple(_decoded(value) if json else value for json, value in zip(is_json, row, strict=True))
        for row in table.rows
    ]
    return Table(table.columns, rows)


def _decoded(value: str | None) -> Any:
    return None if value is None else msgspec.json.decode(value)
