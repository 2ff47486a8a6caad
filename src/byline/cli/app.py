"""The command table. A command's module is imported when it runs, or when help lists them all.

Command modules are thin: parse, call, print. Each has `register(app)`, which adds its commands.
"""

from __future__ import annotations

from difflib import get_close_matches
from importlib import import_module
from typing import Annotated, Any

import typer
from typer.core import TyperGroup
from typer.main import get_group

from byline.cli.output import CommandError, note, printable
from byline.cli.placeholders import name_parameters, name_values

Context = Any
"""What typer passes to a group: a type that it doesn't make public."""

COMMANDS = {
    "serve": "byline.cli.serve",
    "demo": "byline.cli.demo",
    "run": "byline.cli.run",
    "keys": "byline.cli.keys",
    "jobs": "byline.cli.jobs",
    "budgets": "byline.cli.budgets",
    "quota": "byline.cli.quota",
    "usage": "byline.cli.usage",
    "requests": "byline.cli.requests",
    "top": "byline.cli.top",
    "incident": "byline.cli.incident",
    "events": "byline.cli.events",
    "sql": "byline.cli.sql",
    "prices": "byline.cli.prices",
    "reprice": "byline.cli.reprice",
    "reconcile": "byline.cli.reconcile",
    "export": "byline.cli.export",
    "ingest": "byline.cli.ingest",
    "backup": "byline.cli.backup",
    "forget": "byline.cli.forget",
    "flags": "byline.cli.flags",
    "doctor": "byline.cli.doctor",
}
"""Command -> the module that registers it, in the order in which help shows them."""


class Commands(TyperGroup):
    """A group that knows its commands' names without importing them."""

    def list_commands(self, ctx: Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: Context, cmd_name: str) -> Any:
        if cmd_name not in self.commands and cmd_name in COMMANDS:
            part = typer.Typer()
            import_module(COMMANDS[cmd_name]).register(part)
            group = get_group(part)
            name_values(group, ctx)
            self.commands.update(group.commands)
        return self.commands.get(cmd_name)

    def get_params(self, ctx: Context) -> Any:
        params = super().get_params(ctx)
        name_parameters(params)
        return params

    def resolve_command(self, ctx: Context, args: list[str]) -> Any:
        if args[0] not in COMMANDS and not args[0].startswith("-"):
            near = get_close_matches(args[0], COMMANDS, n=1)
            hint = f" Did you mean {near[0]!r}?" if near else " See 'byline --help'."
            ctx.fail(f"No such command {args[0]!r}.{hint}")
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: Context) -> Any:
        try:
            return super().invoke(ctx)
        except Exception as error:
            if not isinstance(error, _errors_with_a_remedy()):
                raise
            note(printable(f"byline: {error}"))
            raise typer.Exit(1) from error


def _errors_with_a_remedy() -> tuple[type[Exception], ...]:
    """What a command may raise to fail with a message; everything else is a defect and shows its trace."""
    from byline.control.database import ControlDatabaseError
    from byline.settings import SettingsError
    from byline.usage.ledger import LedgerUnavailable, QueryError

    return (CommandError, SettingsError, ControlDatabaseError, LedgerUnavailable, QueryError)


def _print_version(asked: bool) -> None:
    if asked:
        from byline import __version__
        from byline._build import BUILD

        typer.echo(f"byline {__version__} ({BUILD})")
        raise typer.Exit


app = typer.Typer(
    cls=Commands,
    help="Puts a byline on every request to a model API, and keeps the books.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def options(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Print version and build."),
    ] = False,
) -> None:
    """Typer wants a function to hang the options of `byline` itself on."""
