"""`byline budgets`: limits of money, speed, concurrency and models, and how far they are used."""

from __future__ import annotations

import os
import time
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from byline.assembly.budget_rules import from_stored, require_store, to_stored, written_budgets
from byline.assembly.data_dir import DataDir
from byline.budgets.limits import KINDS, MODES, Budget, ScopeKind, checked, dollars, micros, usd
from byline.cli.budget_options import (
    AllOption,
    JobOption,
    KeyOption,
    ModelOption,
    ModeOption,
    TeamOption,
    UsdOption,
    UserOption,
    chosen_scope,
    parse_dollars,
    parse_names,
)
from byline.cli.control import control_database, time_of
from byline.cli.output import CommandError, ConfigOption, Format, FormatOption, note, write
from byline.control.budgets import list_budgets, put_budget, remove_budgets
from byline.control.keys import bare_key_id, find_key
from byline.settings import Settings, SettingsError, load
from byline.usage.ledger import Table

if TYPE_CHECKING:
    from byline.assembly.budget_status import BudgetUse

COLUMNS: Final = ("scope", "name", "limit", "amount", "models", "mode", "contact", "source")
STATUS_COLUMNS: Final = (
    "scope", "name", "limit", "amount", "mode", "used", "reserved", "utilization", "resets_at", "refused", "would_have_refused",
)  # fmt: skip

_NONE: Final = "There are no budgets. Set one: byline budgets set --user '*' --usd-per-day 20"

budgets = typer.Typer(help="Limits of users, jobs, teams, keys and models.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    app.add_typer(budgets, name="budgets")


@budgets.command("set")
def set_(
    user: UserOption = None,
    job: JobOption = None,
    team: TeamOption = None,
    key: KeyOption = None,
    model: ModelOption = None,
    everybody: AllOption = False,
    usd_per_hour: UsdOption = None,
    usd_per_day: UsdOption = None,
    usd_per_week: UsdOption = None,
    usd_per_month: UsdOption = None,
    requests_per_minute: Annotated[
        int | None,
        typer.Option(min=0, metavar="COUNT", help="Requests in any sixty seconds.", show_default=False),
    ] = None,
    tokens_per_minute: Annotated[
        int | None,
        typer.Option(
            min=0, metavar="COUNT", help="Tokens in any sixty seconds, input and output.", show_default=False
        ),
    ] = None,
    concurrency: Annotated[
        int | None,
        typer.Option(min=0, metavar="COUNT", help="Requests under way at once.", show_default=False),
    ] = None,
    models: Annotated[
        str | None,
        typer.Option(
            metavar="MODEL,...",
            help="The only models that may be used; patterns allowed.",
            show_default=False,
        ),
    ] = None,
    mode: ModeOption = "hard",
    contact: Annotated[
        str | None, typer.Option(metavar="WHO", help="Whom a refusal says to ask.", show_default=False)
    ] = None,
    config: ConfigOption = None,
    format: FormatOption = Format.table,  # noqa: A002 - the option's name
) -> None:
    """Set one or more limits of one scope. Servers take them up within a second, use so far included."""
    scope, name = _chosen_scope(user, job, team, key, model, everybody)
    given: dict[str, Any] = {
        "usd_per_hour": parse_dollars(usd_per_hour, "--usd-per-hour"),
        "usd_per_day": parse_dollars(usd_per_day, "--usd-per-day"),
        "usd_per_week": parse_dollars(usd_per_week, "--usd-per-week"),
        "usd_per_month": parse_dollars(usd_per_month, "--usd-per-month"),
        "requests_per_minute": requests_per_minute, "tokens_per_minute": tokens_per_minute,
        "concurrency": concurrency, "models": parse_names(models),
    }  # fmt: skip
    new = [
        _budget(scope, name, kind, value, mode, contact) for kind, value in given.items() if value is not None
    ]
    if not new:
        raise typer.BadParameter(f"give at least one limit: {', '.join(_option(kind) for kind in KINDS)}")
    settings = load(config, os.environ)
    try:
        require_store(settings, new)
    except SettingsError as error:
        raise CommandError(str(error)) from None
    with control_database(config) as database:
        if scope == "key" and not new[0].is_pattern:
            find_key(database, name)
        for budget in new:
            put_budget(database, to_stored(budget))
    _write([(budget, "database") for budget in new], format)


@budgets.command("list")
def list_(config: ConfigOption = None, format: FormatOption = Format.table) -> None:  # noqa: A002
    """All limits, those of the settings file too; one set here wins over one that stands there."""
    _write(_all(config), format)


@budgets.command()
def remove(
    user: UserOption = None,
    job: JobOption = None,
    team: TeamOption = None,
    key: KeyOption = None,
    model: ModelOption = None,
    everybody: AllOption = False,
    limit: Annotated[
        str | None,
        typer.Option(
            metavar="LIMIT",
            help="Only this one, such as `usd_per_day`; all of the scope if absent.",
            show_default=False,
        ),
    ] = None,
    config: ConfigOption = None,
    format: FormatOption = Format.table,  # noqa: A002 - the option's name
) -> None:
    """Remove limits that were set here. One of the settings file then holds again."""
    scope, name = _chosen_scope(user, job, team, key, model, everybody)
    kind = None if limit is None else limit.replace("-", "_")
    if kind is not None and kind not in KINDS:
        raise typer.BadParameter(f"{limit!r} is no limit: choose among {', '.join(KINDS)}")
    with control_database(config) as database:
        removed = remove_budgets(database, scope, name, kind)
    if not removed:
        raise CommandError(
            f"there is no such limit of {scope} {name}".rstrip() + "; see `byline budgets list`"
        )
    _write([(from_stored(budget), "database") for budget in removed], format)


@budgets.command()
def status(config: ConfigOption = None, format: FormatOption = Format.table) -> None:  # noqa: A002
    """How far each limit is used: one row for everybody whose use is counted.

    `refused` and `would have refused` are requests since the workers of this machine began; no worker, no count.
    """
    from byline.assembly.budget_status import budget_status
    from byline.cli.budget_table import options, people_table
    from byline.cli.report_table import show

    settings = load(config, os.environ)
    now = time.time()
    limits = [budget for budget, _ in _all(config)]
    lines = budget_status(settings, limits, now)
    if format is Format.table:
        show(people_table(lines), **options())
    else:
        write(Table(columns=STATUS_COLUMNS, rows=[_status_row(line) for line in lines]), format)
    if not limits:
        note(_NONE)


def _status_row(line: BudgetUse) -> tuple[object, ...]:
    budget = line.budget
    return (
        budget.scope, line.entity or None, budget.kind, _amount(budget), budget.mode, *_use(line),
        time_of(line.resets_at), line.refused, line.would_have_refused,
    )  # fmt: skip


def _use(line: BudgetUse) -> tuple[Decimal | int | None, Decimal | int | None, float | None]:
    budget = line.budget
    if budget.metric == "models":
        return None, None, None
    show = usd if budget.metric == "usd" else int
    share = round((line.used + line.held) / budget.amount, 4) if budget.amount else None
    return show(line.used), show(line.held), share


def _all(config: Path | None) -> list[tuple[Budget, str]]:
    settings = load(config, os.environ)
    found = {budget.identity: (budget, "settings") for budget in _written(settings)}
    for budget in _stored(config, settings):
        found[budget.identity] = (budget, "database")
    return sorted(found.values(), key=lambda pair: pair[0].identity)


def _stored(config: Path | None, settings: Settings) -> list[Budget]:
    """None where no database is: looking at limits makes none."""
    if not DataDir(settings.data_dir).control.exists():
        return []
    with control_database(config) as database:
        return [from_stored(stored) for stored in list_budgets(database)]


def _written(settings: Settings) -> list[Budget]:
    return written_budgets(settings)


def _budget(scope: ScopeKind, name: str, kind: str, value: Any, mode: str, contact: str | None) -> Budget:
    if mode not in MODES:
        raise typer.BadParameter(f"{mode!r} is no mode: choose among {', '.join(MODES)}", param_hint="--mode")
    chosen = mode
    metric = KINDS[kind].metric
    try:
        return checked(
            Budget(
                scope=scope,
                name=name,
                kind=kind,
                amount=0 if metric == "models" else micros(value) if metric == "usd" else value,
                models=value if metric == "models" else (),
                mode=chosen,
                contact=contact,
            )
        )
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


def _chosen_scope(*given: Any) -> tuple[ScopeKind, str]:
    """Rows and limits have a key's id without its prefix."""
    scope, name = chosen_scope(*given)
    return scope, bare_key_id(name) if scope == "key" else name


def _option(kind: str) -> str:
    return "--" + kind.replace("_", "-")


def _write(found: list[tuple[Budget, str]], format: Format) -> None:  # noqa: A002
    amount_of = _amount_in_words if format is Format.table else _amount
    rows: list[tuple[object, ...]] = [
        (
            budget.scope, budget.name or None, budget.kind, amount_of(budget), ", ".join(budget.models) or None, budget.mode,
            budget.contact, source,
        )
        for budget, source in found
    ]  # fmt: skip
    write(Table(columns=COLUMNS, rows=rows), format)
    if not rows:
        note(_NONE)


def _amount_in_words(budget: Budget) -> str | None:
    """Each in as many places as it needs: a limit below a cent is not `<$0.01`."""
    if budget.metric == "models":
        return None
    return f"${dollars(budget.amount)}" if budget.metric == "usd" else f"{budget.amount:,}"


def _amount(budget: Budget) -> Decimal | int | None:
    if budget.metric == "models":
        return None
    return usd(budget.amount) if budget.metric == "usd" else budget.amount
