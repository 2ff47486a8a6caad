"""`byline usage`: who used what."""

from __future__ import annotations

from datetime import UTC, datetime, tzinfo
from typing import Annotated, Any, Final

import msgspec
import typer

from byline.cli.output import ConfigOption, Format, FormatOption, note, write
from byline.cli.reading import WhereOption, parse_by, parse_where, progress, reading
from byline.cli.report_table import Options, show
from byline.cli.times import SinceOption, TzOption, UntilOption, parse_since, parse_until, parse_zone
from byline.usage.ledger import LedgerReader, Table, UsageQuery

_SUMMED: Final = (
    "requests", "rejected", "input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens", "cost_usd",
)  # fmt: skip
_SHOWN: Final = 200
"""Rows of a table; more are only of use to programs."""


def register(app: typer.Typer) -> None:
    app.command()(usage)


def usage(
    by: Annotated[
        str,
        typer.Option(
            help="Groups, such as user,job: user, team, job, model, provider, day, hour, session, client, outcome."
        ),
    ] = "user",
    since: SinceOption = "7d",
    until: UntilOption = None,
    tz: TzOption = "UTC",
    where: WhereOption = None,
    limit: Annotated[
        int | None, typer.Option(min=1, help="The first so many groups.", show_default=False)
    ] = None,
    client_cost: Annotated[
        bool, typer.Option("--client-cost", help="Count calls paid with the client's own credential as cost.")
    ] = False,
    config: ConfigOption = None,
    format: FormatOption = Format.table,  # noqa: A002 - the option's name
) -> None:
    """Requests, tokens and cost by user, job, model, day and more; the dearest first."""
    now, zone = datetime.now(UTC), parse_zone(tz)
    query = UsageQuery(
        by=parse_by(by),
        since=parse_since(since, now, zone),
        until=parse_until(until, since, now, zone),
        timezone=tz,
        where=parse_where(where),
        include_client_credential=client_cost,
        limit=limit,
    )
    with reading(config) as (ledger, _):
        if format is not Format.table:
            with progress("Adding up"):
                table = ledger.usage(query)
            write(table, format)
            return
        with progress("Adding up"):
            table, sums = _with_sums(ledger, query)
        show(table, **_options(query, zone, sums))
        _say_what_is_missing(table, ledger, query, cut=sums is not None)


def _with_sums(ledger: LedgerReader, query: UsageQuery) -> tuple[Table, dict[str, Any] | None]:
    """The groups to show, and what all of them come to where the limit leaves some out.

    Not all groups are fetched for that: there may be millions of sessions.
    """
    if query.limit is None:
        return ledger.usage(query), None
    table = ledger.usage(msgspec.structs.replace(query, limit=query.limit + 1))
    if len(table.rows) <= query.limit:
        return table, None
    over_all = ledger.usage(msgspec.structs.replace(query, by=(), limit=None))
    return Table(table.columns, table.rows[: query.limit]), over_all.dicts()[0]


def _options(query: UsageQuery, zone: tzinfo, sums: dict[str, Any] | None) -> Options:
    return Options(zone=zone, totals=_SUMMED, sums=sums, at_most=query.limit or _SHOWN)


def _say_what_is_missing(table: Table, ledger: LedgerReader, query: UsageQuery, *, cut: bool) -> None:
    if not table.rows or not any(row[-7] or row[-6] for row in table.rows):
        note("No requests in this time.")
    if cut:
        note(f"Cut at {len(table.rows):,} by --limit; the total is that of all groups.")
    elif query.limit is None and len(table.rows) > _SHOWN:
        more = f"{len(table.rows) - _SHOWN:,} more groups, which the total counts"
        note(f"{more}: --limit shows as many as you say, --format json all.")
    unpriced = {**query.where, "cost_status": "unknown_model"}
    count = ledger.usage(UsageQuery(by=(), since=query.since, until=query.until, where=unpriced)).rows[0][0]
    if count:
        told = (
            "1 request has no known price and counts"
            if count == 1
            else f"{count:,} requests have no known price and count"
        )
        note(f"{told} as no cost: --by model --where cost_status=unknown_model")
