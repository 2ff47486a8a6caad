"""`byline reconcile`: the ledger against the provider's own figures."""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from byline.assembly.ledger import open_ledger
from byline.cli.existing import with_rows
from byline.cli.output import CommandError, ConfigOption, Format, FormatOption, note, write
from byline.cli.times import SinceOption, UntilOption, parse_since
from byline.settings import Settings, load
from byline.usage.ledger import Table
from byline.usage.reconcile import books
from byline.usage.reconcile.admin_api import ADMIN_KEY_ENV, AdminApi, AdminApiError
from byline.usage.reconcile.comparison import Comparison
from byline.usage.reconcile.figures import Book, merged
from byline.usage.reconcile.reports import Family, Page, Report, ReportError, pages_in, read

BY: Final = ("day", "model")
ProviderOption = Annotated[str, typer.Option("--provider", help="A configured provider, such as anthropic.")]
FileOption = Annotated[
    list[Path] | None,
    typer.Option(
        "--file",
        metavar="FILE",
        help="Answers of the admin API, saved as they came, instead of asking it; may be repeated.",
        show_default=False,
    ),
]
ByOption = Annotated[
    str, typer.Option("--by", metavar="day,model", help="What is told apart: day, model, both, or total.")
]
KeyOption = Annotated[
    str | None,
    typer.Option(
        "--admin-key-env",
        metavar="VARIABLE",
        help="Environment variable with the admin key.",
        show_default=False,
    ),
]


def register(app: typer.Typer) -> None:
    app.command()(reconcile)


def reconcile(
    provider: ProviderOption,
    since: SinceOption = "7d",
    until: UntilOption = None,
    file: FileOption = None,
    by: ByOption = "day,model",
    admin_key_env: KeyOption = None,
    config: ConfigOption = None,
    format: FormatOption = Format.table,  # noqa: A002 - the option's name
) -> None:
    """Hold the ledger against the provider's own usage and cost reports.

    Whole days in UTC, as the providers count. Says which share of tokens and cost the ledger captured,
    where the two differ, and what that likely comes from.
    """
    told_apart = _by(by)
    settings = load(config, os.environ)
    family = _family(settings, provider)
    with_rows(settings)
    now = datetime.now(UTC)
    start = _day_start(parse_since(since, now))
    end = now if until is None else parse_since(until, now, option="--until")
    end = _day_start(end - timedelta(microseconds=1)) + timedelta(days=1)
    try:
        pages = (
            _from_files(file)
            if file
            else _from_api(settings, provider, family, start, end, admin_key_env, os.environ)
        )
        report = read(pages, family)
    except (ReportError, AdminApiError) as error:
        raise CommandError(str(error)) from None
    _warn(report)
    theirs = _within(report.book, start, end)
    ours = _ours(settings, provider, start, end)
    comparison = Comparison(
        merged([ours], told_apart), merged([theirs], told_apart), now.date(), has_usage=report.has_usage
    )
    write(comparison.table(), format)
    note(_summary(Comparison(merged([ours], ()), merged([theirs], ()), now.date()).table()))


def _by(text: str) -> tuple[str, ...]:
    asked = tuple(part.strip() for part in text.split(",") if part.strip())
    if asked == ("total",):
        return ()
    if not asked or not set(asked) <= set(BY):
        raise typer.BadParameter(f"{text!r}: write day, model, day,model or total", param_hint="--by")
    return asked


def _family(settings: Settings, provider: str) -> Family:
    given = settings.providers.get(provider)
    if given is None or given.kind == "":
        raise CommandError(
            f"no provider {provider!r} is configured; there are {', '.join(settings.providers)}"
        )
    return given.kind


def _from_files(files: list[Path]) -> list[Page]:
    pages: list[Page] = []
    for file in files:
        try:
            pages += pages_in(file.read_bytes())
        except OSError as error:
            raise ReportError(f"{file}: can't be read: {error.strerror}") from None
        except ReportError as error:
            raise ReportError(f"{file}: {error}") from None
    return pages


def _from_api(
    settings: Settings,
    provider: str,
    family: Family,
    start: datetime,
    end: datetime,
    key_env: str | None,
    environ: Mapping[str, str],
) -> list[Page]:
    variable = key_env or ADMIN_KEY_ENV[family]
    key = environ.get(variable, "").strip()
    if not key:
        raise AdminApiError(
            f"{variable} is empty: put an admin key of the organization there, or pass its reports with --file"
        )
    return list(AdminApi(family, settings.providers[provider].base_url, key).reports(start, end))


def _warn(report: Report) -> None:
    if report.cut_off:
        note("The last page says that there are more: what follows is missing from the comparison.")
    if not report.has_usage:
        note("No usage report among what was read: tokens can't be compared.")
    if not report.has_costs:
        note("No cost report among what was read: costs can't be compared.")


def _within(book: Book, start: datetime, end: datetime) -> Book:
    return {key: figures for key, figures in book.items() if key[0] and start.date() <= key[0] < end.date()}


def _ours(settings: Settings, provider: str, start: datetime, end: datetime) -> Book:
    ledger = open_ledger(settings)
    try:
        return books.read(ledger, provider, start, end)
    finally:
        ledger.close()


def _day_start(at: datetime) -> datetime:
    return datetime.combine(at.astimezone(UTC).date(), time(), UTC)


def _summary(totals: Table) -> str:
    line: dict[str, Any] = totals.dicts()[0] if totals.rows else {}
    tokens, cost = line.get("tokens_captured"), line.get("cost_captured")
    shares = [
        f"{share:.2%} of the {name}"
        for share, name in ((tokens, "tokens"), (cost, "cost"))
        if share is not None
    ]
    return f"Captured {' and '.join(shares)}." if shares else "The provider reports nothing in this time."
