"""The options of `byline budgets`: whose limit, and how much."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import Annotated

import typer

from byline.budgets.limits import ScopeKind

UserOption = Annotated[
    str | None,
    typer.Option("--user", metavar="USER", help="Whose: a user; `*` is each user.", show_default=False),
]
JobOption = Annotated[
    str | None,
    typer.Option("--job", metavar="JOB", help="Instead a job, or each job of a pattern.", show_default=False),
]
TeamOption = Annotated[
    str | None, typer.Option("--team", metavar="TEAM", help="Instead a team.", show_default=False)
]
KeyOption = Annotated[
    str | None, typer.Option("--key", metavar="KEY_ID", help="Instead a Byline key.", show_default=False)
]
ModelOption = Annotated[
    str | None,
    typer.Option(
        "--model",
        metavar="MODEL",
        help="Instead a model, or all models of a pattern together.",
        show_default=False,
    ),
]
AllOption = Annotated[bool, typer.Option("--all", help="Instead everything that is sent, together.")]
ModeOption = Annotated[
    str,
    typer.Option(
        "--mode",
        metavar="hard|soft|shadow",
        help="Refuse, only warn, or only count what would have been refused.",
    ),
]
UsdOption = Annotated[
    str | None,
    typer.Option(
        metavar="DOLLARS", help="Money per clock window, UTC; weeks begin on Monday.", show_default=False
    ),
]


def chosen_scope(
    user: str | None, job: str | None, team: str | None, key: str | None, model: str | None, everybody: bool
) -> tuple[ScopeKind, str]:
    named: list[tuple[ScopeKind, str | None]] = [
        ("user", user), ("job", job), ("team", team), ("key", key), ("model", model)
    ]  # fmt: skip
    given: list[tuple[ScopeKind, str]] = [(scope, name) for scope, name in named if name]
    if everybody:
        given.append(("all", ""))
    if len(given) != 1:
        raise typer.BadParameter("give exactly one of --user, --job, --team, --key, --model and --all")
    return given[0]


def parse_dollars(text: str | None, option: str) -> Decimal | None:
    if text is None:
        return None
    try:
        amount = Decimal(text.removeprefix("$"))
    except InvalidOperation:
        amount = Decimal(-1)
    if not amount.is_finite() or amount < 0:
        raise typer.BadParameter(
            f"{text!r} is not an amount in dollars, such as 5 or 2.50", param_hint=option
        )
    return amount


def parse_names(text: str | None) -> tuple[str, ...] | None:
    return None if text is None else tuple(name.strip() for name in text.split(",") if name.strip())
