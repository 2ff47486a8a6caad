"""`byline flags`: feature values as the gateway's processes see them, and overrides by hand."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec
import typer

from byline.assembly.data_dir import open_data_dir
from byline.assembly.flags import gateway_attributes, open_features, overrides_file, own_defaults
from byline.cli.output import CommandError, ConfigOption, Format, FormatOption, note, write, write_object
from byline.flags.client import FeatureClient
from byline.flags.explain import explain as explain_feature
from byline.flags.fitting import MISFIT, fit
from byline.flags.payload import Payload, PayloadRefused
from byline.gateway.own_flags import OWN_FLAGS
from byline.settings import Settings, load
from byline.usage.ledger import Table

LIST_COLUMNS: Final = ("feature", "value", "layer", "reason", "variant", "age_s", "description")
EXPLAIN_COLUMNS: Final = ("feature", "rule", "kind", "outcome", "detail")
WATCH_COLUMNS: Final = ("at", "feature", "value", "layer")
_SAVE_WAIT_S: Final = 1.0
"""For what was fetched to be kept on the disk, before the process ends."""
_OWN: Final = {flag.name: flag for flag in OWN_FLAGS}

AttributeOption = Annotated[
    list[str] | None,
    typer.Option(
        "--attribute", metavar="NAME=VALUE", help="Evaluate for this attribute; JSON, or text as it stands."
    ),
]
flags = typer.Typer(help="Feature values: what they are, where from, and why.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    app.add_typer(flags, name="flags")


@flags.command("list")
def list_(config: ConfigOption = None, format: FormatOption = Format.table) -> None:  # noqa: A002 - the option's name
    """Every feature with its value, the layer it comes from and how old it is. The gateway's own are always listed.

    What those are for, `byline flags get` says, and the description in JSON and CSV.
    """
    with _features(config) as (client, settings):
        names = sorted(client.reader.names | _OWN.keys())
        defaults = own_defaults(settings)
        rows = [_list_row(client, name, defaults) for name in names]
        if format is Format.table:
            described = len(LIST_COLUMNS) - 1
            write(Table(LIST_COLUMNS[:described], [row[:described] for row in rows]))
        else:
            write(Table(LIST_COLUMNS, rows), format)


@flags.command()
def get(
    name: Annotated[str, typer.Argument(help="A feature.")],
    config: ConfigOption = None,
    format: FormatOption = Format.table,  # noqa: A002
) -> None:
    """One feature in full. Fails where it has no value."""
    with _features(config) as (client, settings):
        if name not in client.reader.names and name not in _OWN:
            raise CommandError(f"no feature {name!r} is known; see 'byline flags list'")
        row = _list_row(client, name, own_defaults(settings))
        write_object(dict(zip(LIST_COLUMNS, row, strict=True)), format)


@flags.command()
def override(
    name: Annotated[str, typer.Argument(help="A feature, known or not.")],
    value: Annotated[
        str | None, typer.Argument(help="JSON, or text as it stands.", show_default=False)
    ] = None,
    clear: Annotated[bool, typer.Option("--clear", help="Take the override back.")] = False,
    config: ConfigOption = None,
) -> None:
    """Set a value by hand. Running gateways on this machine take it up within two seconds, without restart."""
    if clear == (value is not None):
        raise typer.BadParameter("give either a value or --clear")
    settings = load(config, os.environ)
    file = overrides_file(open_data_dir(settings))
    values = dict(file.read())
    if value is None:
        values.pop(name, None)
    else:
        values[name] = _json_or_text(value)
        _check_own(name, values[name])
    try:
        file.write(values)
    except OSError as error:
        raise CommandError(f"{file.path} can't be written: {error.strerror}") from None
    note(
        f"{name} is no longer overridden"
        if clear
        else f"{name} is {msgspec.json.encode(values[name]).decode()}"
    )


@flags.command()
def watch(
    config: ConfigOption = None,
    format: FormatOption = Format.table,  # noqa: A002
    count: Annotated[
        int | None, typer.Option(min=1, help="End after so many changes.", show_default=False)
    ] = None,
) -> None:
    """Print each change as it comes, until interrupted. JSON is one object a line, CSV names its columns once."""
    changes = 0
    done = threading.Event()

    def changed(names: frozenset[str]) -> None:
        nonlocal changes
        at = datetime.now(UTC)
        rows = [(at, *_list_row(client, name, {})[:3]) for name in sorted(names)]
        if format is Format.json:
            for row in rows:
                write_object(dict(zip(WATCH_COLUMNS, row, strict=True)), format)
        else:
            write(Table(WATCH_COLUMNS, rows), format, goes_on=changes > 0)
            sys.stdout.flush()
        changes += 1
        if count is not None and changes >= count:
            done.set()

    with _features(config, wait=False) as (client, _):
        client.on_refresh(changed)
        note("watching; interrupt to end")
        try:
            done.wait()
        except KeyboardInterrupt:
            return


@flags.command()
def explain(
    name: Annotated[str, typer.Argument(help="A feature.")],
    attribute: AttributeOption = None,
    user: Annotated[
        str | None, typer.Option(help="Short for --attribute user=U.", show_default=False)
    ] = None,
    team: Annotated[
        str | None, typer.Option(help="Short for --attribute team=T.", show_default=False)
    ] = None,
    job: Annotated[str | None, typer.Option(help="Short for --attribute job=J.", show_default=False)] = None,
    config: ConfigOption = None,
    format: FormatOption = Format.table,  # noqa: A002
) -> None:
    """Which rule gives the value, and what kept the rules before it from matching."""
    with _features(config) as (client, settings):
        asked = {**gateway_attributes(settings), **_attributes(attribute)}
        asked |= {key: value for key, value in (("user", user), ("team", team), ("job", job)) if value}
        layers = _layers_above(client, name)
        rules = [] if client.payload is None else _rules(client.payload, name, asked)
        if not layers and not rules:
            where = "anywhere" if client.source_name is None else f"at {client.source_name} or elsewhere"
            raise CommandError(f"feature {name!r} has no value {where}: programs get their own default")
        write(Table(EXPLAIN_COLUMNS, layers + rules), format)


def _rules(payload: Payload, name: str, asked: Mapping[str, Any]) -> list[tuple[Any, ...]]:
    try:
        found, steps = explain_feature(payload, name, asked)
    except PayloadRefused as refused:
        raise CommandError(f"the rules can't be evaluated: {refused}") from None
    if found is None:
        return []
    rows: list[tuple[Any, ...]] = [(name, step.rule, step.kind, step.outcome, step.detail) for step in steps]
    if any(step.outcome == "matched" for step in steps):
        return [*rows, (name, None, "value", "from the rule that matched", found.value)]
    reason = "no rule matched" if steps else "it has no rules"
    return [*rows, (name, None, "value", f"the feature's default: {reason}", found.value)]


def _layers_above(client: FeatureClient, name: str) -> list[tuple[Any, ...]]:
    """What wins over any rule, or stands in for rules that can't be seen."""
    details = client.details(name)
    if details.layer in ("env", "config"):
        return [(name, None, "override", f"wins: layer {details.layer}", details.value)]
    if client.payload is None and details.layer != "default":
        return [(name, details.rule_id, "value", f"evaluated elsewhere: {details.reason}", details.value)]
    return []


def _list_row(client: FeatureClient, name: str, defaults: Mapping[str, Any]) -> tuple[Any, ...]:
    details = client.details(name, defaults.get(name))
    is_unset = details.layer == "default" and details.error_code in ("FLAG_NOT_FOUND", "PROVIDER_NOT_READY")
    reason = "DEFAULT" if is_unset else details.reason
    age_s = None if details.age_s is None else round(details.age_s)
    description = _OWN[name].description if name in _OWN else None
    return name, details.value, details.layer, reason, details.variant, age_s, description


@contextmanager
def _features(config: Path | None, *, wait: bool = True) -> Generator[tuple[FeatureClient, Settings]]:
    """Fetched once more, so that what is shown is what the source says now; else the last known values."""
    settings = load(config, os.environ)
    client = open_features(settings, os.environ, open_data_dir(settings))
    client.start()
    try:
        if wait and client.source_name is not None:
            _await_fetch(client, settings.flags.timeout + 1)
        yield client, settings
    finally:
        client.close()
        client.refresher.join(_SAVE_WAIT_S)


def _await_fetch(client: FeatureClient, timeout_s: float) -> None:
    deadline = time.monotonic() + timeout_s
    while client.reader.layer != "memory":
        if client.refresher.problem is not None or time.monotonic() > deadline:
            note(
                f"{client.source_name}: {client.refresher.problem or 'no answer yet'}; showing what is known"
            )
            return
        time.sleep(0.01)


def _attributes(texts: list[str] | None) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for text in texts or []:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise typer.BadParameter(f"{text!r} must be NAME=VALUE", param_hint="--attribute")
        found[name] = _json_or_text(value)
    return found


def _json_or_text(text: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except (msgspec.MsgspecError, RecursionError):
        return text


def _check_own(name: str, value: Any) -> None:
    flag = _OWN.get(name)
    if flag is None:
        return
    fitted = fit(value, flag.default)
    if fitted is None or fitted is MISFIT or not flag.allowed(fitted):
        raise CommandError(f"{name} must be {flag.rule}")
