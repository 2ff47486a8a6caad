"""`byline run`: starts a program that acts for a user and a job.

The program takes this process's place, so signals, terminal and exit code are its own.
"""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final, NoReturn

import typer

from byline.cli.launching import adapt, warnings_about
from byline.cli.output import CommandError, ConfigOption, Format, FormatOption, note, write_object
from byline.runtime.child_env import GatewayAddress, identity_variables, name_identity
from byline.runtime.recording import KEY_VARIABLE, URL_VARIABLE
from byline.settings import Settings, load

NOT_FOUND: Final = 127
NOT_EXECUTABLE: Final = 126
"""What shells exit with."""
_COMMAND: Final[dict[str, Any]] = {"allow_interspersed_args": False}
"""What follows the command's name is the command's."""


def register(app: typer.Typer) -> None:
    app.command(context_settings=_COMMAND)(run)


def run(
    command: Annotated[
        list[str] | None,
        typer.Argument(metavar="COMMAND", help="The program and its arguments.", show_default=False),
    ] = None,
    user: Annotated[
        str | None, typer.Option("--user", metavar="U", help="Whom it acts for.", show_default=False)
    ] = None,
    job: Annotated[
        str | None, typer.Option("--job", metavar="J", help="The job it is part of.", show_default=False)
    ] = None,
    print_env: Annotated[
        bool,
        typer.Option("--print-env", help="Print the variables for a shell to evaluate, and run nothing."),
    ] = False,
    config: ConfigOption = None,
    format: FormatOption = Format.table,  # noqa: A002 - the option's name
) -> None:
    """Run a program with its identity, and with a gateway's base URLs and key where one is configured."""
    if print_env == bool(command):
        raise typer.BadParameter("give a COMMAND behind --, or --print-env in its place")
    gateway = configured_gateway(load(config, os.environ), os.environ)
    try:
        changed = identity_variables(name_identity(user, job), os.environ, gateway)
    except ValueError as error:
        raise CommandError(str(error)) from error
    if print_env or not command:
        _print(changed, format)
    else:
        _become(command, changed, gateway)


def configured_gateway(settings: Settings, environ: Mapping[str, str]) -> GatewayAddress | None:
    """A gateway is configured where there is a key for it; its address may be the local server's."""
    client = settings.client
    key = environ.get(client.key_env or KEY_VARIABLE, "") or _read_key(client.key_file)
    if not key:
        return None
    url = environ.get(URL_VARIABLE) or client.url or _local_address(settings)
    return GatewayAddress(url.rstrip("/"), key)


def _read_key(path: Path | None) -> str:
    if path is None:
        return ""
    try:
        return path.read_text().strip()
    except OSError as error:
        raise CommandError(f"client.key_file {path} can't be read: {error.strerror}") from error


def _local_address(settings: Settings) -> str:
    gateway = settings.gateway
    host = "127.0.0.1" if gateway.host in ("0.0.0.0", "::", "") else gateway.host  # noqa: S104 - where to call
    host = f"[{host}]" if ":" in host else host
    return f"{'https' if gateway.tls_cert else 'http'}://{host}:{gateway.port}"


def _print(changed: Mapping[str, str], format: Format) -> None:  # noqa: A002
    if format is not Format.table:
        write_object(changed, format)
        return
    for name, value in sorted(changed.items()):
        typer.echo(f"export {name}={shlex.quote(value)}")


def _become(command: list[str], changed: Mapping[str, str], gateway: GatewayAddress | None) -> NoReturn:
    for warning in warnings_about(command, os.environ, has_gateway=gateway is not None):
        note(f"byline: {warning}")
    command, environ = adapt(command, {**os.environ, **changed}, gateway)
    path = shutil.which(command[0])
    if path is None:
        note(f"byline: {command[0]}: command not found")
        raise typer.Exit(NOT_FOUND)
    sys.stdout.flush()
    sys.stderr.flush()
    # Python ignores these, and what is ignored stays so in the program.
    for ignored in (signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(ignored, signal.SIG_DFL)
    try:
        os.execve(path, command, environ)  # noqa: S606 - to run it is what we were asked for
    except OSError as error:
        note(f"byline: {command[0]}: {error.strerror}")
        raise typer.Exit(NOT_EXECUTABLE) from None
