"""`byline incident`: one screen for three in the morning. The answer first, then the figures."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final

import typer

from byline.cli.output import ConfigOption, Format, FormatOption, printable, write
from byline.cli.reading import WhereOption, parse_by, parse_where, progress, reading
from byline.cli.report_table import console, show
from byline.cli.times import SinceOption, TzOption, UntilOption, parse_since, parse_until, parse_zone
from byline.usage.ledger import ErrorsQuery, IncidentQuery, LedgerReader, Table
from byline.usage.reports.triage import Finding, Measure, findings

_WORDS: Final[dict[Measure, str]] = {
    "throttled": "429s",
    "errors": "errors",
    "tokens": "tokens",
    "requests": "requests",
}
_TOTALS: Final = ("requests", "tokens", "throttled", "errors", "rejected")
_SHOWN: Final = (
    "owner",
    "requests",
    "requests_before",
    "tokens",
    "tokens_before",
    "throttled",
    "errors",
    "rejected",
)
_ERROR_KINDS: Final = 6
_NOTHING: Final = (
    "No requests in either window: nothing was recorded that could be compared.\n"
    "A longer --since may find some; `byline doctor` says whether rows still wait in the journal."
)
_CONSIDERED: Final = 1_000
"""Groups among which drivers are looked for; the screen shows `--limit` of them."""


def register(app: typer.Typer) -> None:
    app.command()(incident)


def incident(
    since: SinceOption = "30m",
    until: UntilOption = None,
    by: Annotated[str, typer.Option(help="Who is looked for: groups as in byline usage.")] = "user,job",
    where: WhereOption = None,
    limit: Annotated[int, typer.Option(min=1, help="How many groups to show.")] = 8,
    tz: TzOption = "UTC",
    config: ConfigOption = None,
    format: FormatOption = Format.table,  # noqa: A002 - the option's name
) -> None:
    """Who drove requests, tokens, 429s and errors, against the same time before, and whom to ping."""
    from byline.assembly.ledger import job_owners

    now, zone = datetime.now(UTC), parse_zone(tz)
    query = IncidentQuery(
        by=parse_by(by),
        since=parse_since(since, now, zone),
        until=parse_until(until, since, now, zone) or now,
        where=parse_where(where),
        limit=_CONSIDERED,
    )
    with reading(config) as (ledger, settings), progress("Looking into it"):
        groups = _with_owners(ledger.report(query), job_owners(settings))
        if format is not Format.table:
            write(Table(groups.columns, groups.rows[:limit]), format)
            return
        totals = _totals(ledger, query)
        errors = ledger.report(
            ErrorsQuery(since=query.since, until=query.until, where=query.where, by=("provider",))
        )
    screen = console()
    screen.print(_heading(query, zone))
    if not _anything(totals):
        screen.print(_NOTHING, markup=False)
        return
    for line in _answer(totals, groups, query):
        screen.print(printable(line), markup=False)
    screen.print()
    show(_totals_table(totals))
    screen.print()
    show(_shown(groups, query, limit), title="Who")
    if errors.rows:
        screen.print()
        show(Table(errors.columns, errors.rows[:_ERROR_KINDS]), title="What failed", zone=zone)


def _totals(ledger: LedgerReader, query: IncidentQuery) -> dict[str, Any]:
    over_all = IncidentQuery(by=(), since=query.since, until=query.until, where=query.where, limit=1)
    return ledger.report(over_all).dicts()[0]


def _with_owners(groups: Table, owner_of: Callable[[str], str | None]) -> Table:
    """An owner behind the groups where jobs are among them."""
    if "job" not in groups.columns:
        return groups
    job = groups.columns.index("job")
    rows = [(*row, owner_of(row[job]) if row[job] else None) for row in groups.rows]
    return Table((*groups.columns, "owner"), rows)


def _heading(query: IncidentQuery, zone: Any) -> str:
    start, end = query.since.astimezone(zone), query.until.astimezone(zone)
    ends = f"{end:%H:%M}" if start.date() == end.date() else f"{end:%Y-%m-%d %H:%M}"
    return (
        f"[bold]{start:%Y-%m-%d %H:%M} to {ends} {end:%Z}[/bold], against the "
        f"{_length(query.until - query.since)} before\n"
    )


def _length(span: timedelta) -> str:
    """As a person would say it: `30 minutes`, `24 hours`, `7 days`."""
    minutes = round(span.total_seconds() / 60)
    for unit, size in (("days", 24 * 60), ("hours", 60)):
        if minutes > size and minutes % size == 0:
            return f"{minutes // size:,} {unit}"
    return "minute" if minutes == 1 else f"{minutes:,} minutes"


def _answer(totals: dict[str, Any], groups: Table, query: IncidentQuery) -> list[str]:
    """Each driver with what it drove, then what nobody alone drove."""
    found = findings(totals, groups.dicts())
    drivers = {_named(finding.driver, query): finding.driver for finding in found if finding.driver}
    lines: list[str] = []
    for name, driver in drivers.items():
        lines.append(f"{name}{_whom_to_ping(driver)}")
        lines += [f"  {_figures(each)}" for each in found if each.driver == driver]
    lines += _unnamed(
        "Across many, nobody stands out:", (each for each in found if not each.driver and not each.too_few)
    )
    lines += _unnamed("Too few requests to name anybody for:", (each for each in found if each.too_few))
    return lines or ["Nothing grew: no cause to be seen here."]


def _unnamed(title: str, found: Iterable[Finding]) -> list[str]:
    lines = [f"  {_figures(each)}" for each in found]
    return [title, *lines] if lines else []


def _anything(totals: Mapping[str, Any]) -> bool:
    return any(totals[f"{name}{window}"] for name in ("requests", "rejected") for window in ("", "_before"))


def _named(row: Mapping[str, Any], query: IncidentQuery) -> str:
    return ", ".join(f"{name} {row[name] if row[name] is not None else '(none)'}" for name in query.by)


def _whom_to_ping(row: Mapping[str, Any]) -> str:
    return f"  ->  ping {row['owner']}, who owns the job" if row.get("owner") else ""


def _figures(finding: Finding) -> str:
    """The driver's own figures, then everybody's; the latter alone where nobody is named."""
    measure, driver = finding.measure, finding.driver
    if driver is None or finding.driver_share is None:
        return f"{_WORDS[measure]:9} {finding.now:>14,}   {_before(finding)}"
    own = f"{_WORDS[measure]:9} {driver[measure]:>14,}   before {driver[f'{measure}_before']:,}"
    return f"{own}: {finding.driver_share:.0%} of the growth of all ({finding.now:,}, {_before(finding)})"


def _before(finding: Finding) -> str:
    times = "" if finding.factor is None else f", {finding.factor:.1f} times"
    return f"before {finding.before:,}{times}"


def _totals_table(totals: dict[str, Any]) -> Table:
    words: dict[str, str] = {**_WORDS, "rejected": "rejected", "cost_usd": "cost"}
    rows: list[tuple[Any, ...]] = [
        (words[name], totals[name], totals[f"{name}_before"]) for name in (*_TOTALS, "cost_usd")
    ]
    return Table(("", "now", "before"), rows)


def _shown(groups: Table, query: IncidentQuery, limit: int) -> Table:
    names = [name for name in (*query.by, *_SHOWN) if name in groups.columns]
    return Table(tuple(names), [tuple(row[name] for name in names) for row in groups.dicts()[:limit]])
