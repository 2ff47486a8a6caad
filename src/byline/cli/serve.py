"""`byline serve`: the gateway and its ledger, until stopped."""

from __future__ import annotations

import errno
import os
import socket
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
    from byline.usage.data_lock import DataDirInUse

    settings = load(config, os.environ)
    if part is not None:
        serving.run_part(part, settings, os.environ)
        return
    try:
        code = serving.serve(settings, os.environ, config, typer.echo)
    except DataDirInUse as error:
        raise CommandError(f"{error}: stop that first, or set data_dir to another directory") from error
    except OSError as error:
        raise CommandError(_not_listening(error, settings.gateway.host)) from error
    raise typer.Exit(code)


def _not_listening(error: OSError, host: str) -> str:
    reason = error.strerror or str(error)
    if isinstance(error, socket.gaierror):
        return f"can't listen on {host}: {reason}; correct gateway.host"
    if error.errno == errno.EADDRINUSE:
        return f"{reason}; set gateway.port to another one, or end what listens there"
    return reason
