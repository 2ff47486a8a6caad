"""`byline serve`: the gateway and its ledger, until stopped."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from byline.cli.output import CommandError, ConfigOption
from byline.settings import load


def register(app: typer.Typer) -> None:
    app.command()(serve)


def serve(
    config: ConfigOption = None,
    part: Annotated[str | None, typer.Option(hidden=True)] = None,
) -> None:
    """Serve the gateway and keep the ledger, until SIGTERM or Ctrl-C."""
    from byline.assembly import serving

    settings = load(config, os.environ)
    if part is not None:
        serving.run_part(part, settings, os.environ)
        return
    try:
        code = serving.serve(settings, os.environ, config, typer.echo)
    except OSError as error:
        raise CommandError(str(error.strerror or error)) from error
    raise typer.Exit(code)
