"""`byline keys`: make, list, revoke and rotate the keys that callers present."""

from __future__ import annotations

import time
from typing import Annotated, Any, Final

import typer

from byline.cli.control import control_database, time_of
from byline.cli.existing import with_keys
from byline.cli.output import ConfigOption, Format, FormatOption, note, write, write_object
from byline.cli.times import parse_span
from byline.control.keys import KeyInfo, NewKey, create_key, list_keys, revoke_key, rotate_key
from byline.identity.model import ActorKind
from byline.usage.ledger import Table

COLUMNS: Final = (
    "key_id", "user", "email", "team", "job", "kind", "may_claim", "status",
    "created_at", "expires_at", "last_used_at", "replaced_by",
)  # fmt: skip

keys = typer.Typer(help="Byline keys: who may call, and what each may claim.", no_args_is_help=True)

KeyIdArgument = Annotated[str, typer.Argument(metavar="KEY_ID", help="As `byline keys list` shows it.")]


def register(app: typer.Typer) -> None:
    app.add_typer(keys, name="keys")


@keys.command()
def create(
    user: Annotated[str, typer.Option(metavar="NAME", help="Whom the key stands for; made if new.")],
    email: Annotated[str | None, typer.Option(help="The user's email address.", show_default=False)] = None,
    team: Annotated[str | None, typer.Option(help="The user's team.", show_default=False)] = None,
    job: Annotated[
        str | None, typer.Option(help="Bind the key to this job, whatever is claimed.", show_default=False)
    ] = None,
    kind: Annotated[
        ActorKind | None, typer.Option(help="`person` for a new user if absent.", show_default=False)
    ] = None,
    may_claim: Annotated[
        str, typer.Option(metavar="job,user|none", help="What requests with this key may claim.")
    ] = "job",
    expires: Annotated[
        str | None, typer.Option(metavar="SPAN", help="When the key ends, such as 90d.", show_default=False)
    ] = None,
    config: ConfigOption = None,
    format: FormatOption = Format.table,  # noqa: A002 - the option's name
) -> None:
    """Make a key and print it, this once. An email, team or kind given changes that of a known user."""
    claims = _parse_may_claim(may_claim)
    lifetime_s = None if expires is None else _parse_lifetime(expires, "--expires")
    with control_database(config) as database:
        new = create_key(
            database,
            user,
            email=email,
            team=team,
            kind=kind,
            job=job,
            may_claim_job=bool(claims),
            may_claim_user="user" in claims,
            expires_at=None if lifetime_s is None else database.now() + lifetime_s,
        )
    _print_new(new, format)


@keys.command("list")
def list_(config: ConfigOption = None, format: FormatOption = Format.table) -> None:  # noqa: A002
    """All keys, ended ones too, with their last use."""
    with control_database(config, directory=with_keys) as database:
        infos = list_keys(database)
    _write(infos, format)
    if not infos:
        note("No keys yet: byline keys create --user NAME")


@keys.command()
def revoke(key_id: KeyIdArgument, config: ConfigOption = None, format: FormatOption = Format.table) -> None:  # noqa: A002
    """End a key now: within a second no gateway accepts it."""
    with control_database(config) as database:
        _write([revoke_key(database, key_id)], format)


@keys.command()
def rotate(
    key_id: KeyIdArgument,
    grace: Annotated[
        str | None,
        typer.Option(
            metavar="SPAN", help="How long the old key still works; not at all if absent.", show_default=False
        ),
    ] = None,
    config: ConfigOption = None,
    format: FormatOption = Format.table,  # noqa: A002 - the option's name
) -> None:
    """Print a new key with the rights of the old one, and end the old one."""
    grace_s = 0.0 if grace is None else _parse_lifetime(grace, "--grace")
    with control_database(config) as database:
        new = rotate_key(database, key_id, grace_s=grace_s)
    note(f"The key {key_id} {f'ends in {grace}' if grace else 'has ended'}.")
    _print_new(new, format)


def _parse_may_claim(text: str) -> frozenset[str]:
    """Every key may claim a job but those made with `none`, so `user` alone means both."""
    if text == "none":
        return frozenset()
    claims = frozenset(part.strip() for part in text.split(","))
    if not claims <= {"job", "user"}:
        raise typer.BadParameter(
            f"{text!r} is not `job`, `user`, `job,user` or `none`", param_hint="--may-claim"
        )
    return claims


def _parse_lifetime(text: str, option: str) -> float:
    seconds = parse_span(text, option=option).total_seconds()
    if seconds <= 0:
        raise typer.BadParameter(f"{text!r} is no time at all; write a span such as 90d", param_hint=option)
    return seconds


def _print_new(new: NewKey, format: Format) -> None:  # noqa: A002
    info = new.info
    note("This is the only time the key is shown: keep it now.")
    shown = {
        "key_id": info.key_id,
        "key": new.text,
        "user": info.actor.username,
        "email": info.actor.email,
        "team": info.actor.team,
        "job": info.job,
        "kind": info.actor.kind,
        "may_claim": _may_claim(info),
        "expires_at": time_of(info.expires_at),
    }
    if format is Format.table:
        typer.echo(f"\n{shown.pop('key')}\n")
        shown["expires_at"] = shown["expires_at"] or "never"
    write_object(shown, format)


def _write(infos: list[KeyInfo], format: Format) -> None:  # noqa: A002
    at = time.time()
    write(Table(columns=COLUMNS, rows=[_row(info, at) for info in infos]), format)


def _row(info: KeyInfo, at: float) -> tuple[Any, ...]:
    actor = info.actor
    return (
        info.key_id,
        actor.username,
        actor.email,
        actor.team,
        info.job,
        actor.kind,
        _may_claim(info),
        info.status(at),
        time_of(info.created_at),
        time_of(info.expires_at),
        time_of(info.last_used_at),
        info.replaced_by,
    )


def _may_claim(info: KeyInfo) -> str:
    """As `--may-claim` takes it; a bound job leaves no job to claim."""
    claims = ["job"] if info.may_claim_job and info.job is None else []
    return ",".join([*claims, "user"] if info.may_claim_user else claims) or "none"
