"""Writes the pages of `docs/reference` from what they describe.

`make docs` runs it; a test holds the pages to it.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
from typer.main import get_command

from byline.cli.app import app
from byline.cli.events_page import events_page
from byline.settings import Settings, schema, values
from byline.settings.environment import variable

SETTINGS_INTRODUCTION = """\
# Settings

Byline reads `byline.toml` in the current directory, or the file that `--config` names. Every key is also an
environment variable, `BYLINE_SECTION__KEY`, and the variable wins. In a variable's name a provider called
`my-proxy` is `MY_PROXY`; lists are written with commas or as JSON.

An unknown key, a value of the wrong type or a contradiction is an error that names the key, where it stands
and the nearest valid one; nothing starts until it is mended. `byline doctor` checks the rest: that providers
answer, that credentials are there, that the disk has room.

A duration is written `20ms`, `5s`, `5m`, `24h` or `7d`, a size `64MB` (decimal) or `16KiB` (binary). A
relative path in the file is relative to the file's directory.

This page is generated from the declared table by `make docs`.
"""

CLI_INTRODUCTION = """\
# Commands

Data goes to stdout, progress and warnings to stderr. `--format json` prints one array of objects and nothing
else; `keys create` and `keys rotate` print one object. The exit code is 0, 1 when the command failed, 2 when it was called wrongly. Times are ISO 8601 in UTC,
money is a decimal string, counts are integers or null.

Reading commands work while the server runs, through its socket in `data_dir`, and when it doesn't.

This page is generated from the commands by `make docs`.
"""


def settings_page() -> str:
    return "\n".join([SETTINGS_INTRODUCTION, *_section(Settings, ())])


def _section(section: schema.Section, at: schema.Path) -> Iterator[str]:
    fields = list(schema.fields(section).values())
    single = [field for field in fields if field.shape == "value"]
    if single:
        yield f"## `[{'.'.join(at)}]`\n" if at else "## Outside all sections\n"
        if at:
            yield f"{_first_line(section)}\n"
        yield from _rows(single, at)
    for field in fields:
        if field.shape != "value":
            yield from _section(
                field.type, (*at, field.name, *(("NAME",) if field.shape == "sections" else ()))
            )
    if further := schema.subtables(section):
        yield from _section(further.type, (*at, "NAME"))


def _rows(fields: list[schema.Field], at: schema.Path) -> Iterator[str]:
    yield "| key | type | default | what it is | variable |"
    yield "|---|---|---|---|---|"
    for field in fields:
        default = (
            "must be set"
            if field.default is msgspec.NODEFAULT
            else _code(values.written(field.type, field.default, field.meta))
        )
        sentence = field.meta.description if field.meta and field.meta.description else ""
        kind = values.type_name(field.type, field.meta)
        yield _row(f"`{field.name}`", kind, default, sentence, f"`{variable((*at, field.name))}`")
    yield ""


def cli_page() -> str:
    root: Any = get_command(app)
    context = root.make_context("byline", [], resilient_parsing=True)
    lines = [CLI_INTRODUCTION]
    for name in root.list_commands(context):
        lines += _command(root.get_command(context, name), f"byline {name}")
    return "\n".join(lines)


def _command(command: Any, path: str) -> Iterator[str]:
    """A command, or a group's commands one by one; both are typer's, whose types are private."""
    if hasattr(command, "commands"):
        for name, below in command.commands.items():
            yield from _command(below, f"{path} {name}")
        return
    parameters = [parameter for parameter in command.params if not getattr(parameter, "hidden", False)]
    arguments = [parameter for parameter in parameters if parameter.param_type_name == "argument"]
    options = [parameter for parameter in parameters if parameter.param_type_name == "option"]
    usage = " ".join(
        [path, *(_argument(argument) for argument in arguments), *(["[OPTIONS]"] if options else [])]
    )
    yield f"## `{path}`\n\n{_paragraph(command.help)}\n\n```text\n{usage}\n```\n"
    if options:
        yield "| option | default | what it does |"
        yield "|---|---|---|"
        yield from (_option(option) for option in options)
        yield ""


def _argument(argument: Any) -> str:
    name = argument.metavar or argument.name.upper()
    name += "..." if argument.nargs == -1 else ""
    return name if argument.required else f"[{name}]"


def _option(option: Any) -> str:
    names = ", ".join(f"`{name}`" for name in (*option.opts, *option.secondary_opts))
    choices = option.type_descriptor.choices if option.type_descriptor.is_choice else ()
    value = option.metavar or "|".join(str(choice) for choice in choices or ())
    shown = "" if option.default in (None, False) or callable(option.default) else _code(str(option.default))
    default = "must be given" if option.required else shown
    return _row(f"{names} {value}".rstrip(), default, _paragraph(option.help))


def _row(*cells: str) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _code(text: str) -> str:
    return f"`{text}`" if text else "none"


def _paragraph(text: str | None) -> str:
    return " ".join((text or "").split())


def _first_line(section: schema.Section) -> str:
    return (section.__doc__ or "").splitlines()[0]


def main(directory: Path) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    pages = {"settings.md": settings_page(), "cli.md": cli_page(), "events.md": events_page()}
    for name, page in pages.items():
        (directory / name).write_text(page.rstrip("\n") + "\n")
        print(f"wrote {directory / name}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
