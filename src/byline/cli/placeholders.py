"""What help writes where a value goes: a word for it, not Python's name of its type."""

from __future__ import annotations

from typing import Any, Final

_OF_TYPE: Final[dict[Any, str]] = {int: "N", float: "SECONDS"}
_OF_NAME: Final = {"BY": "GROUP,..."}
"""Where the option's own name says nothing."""


def name_values(command: Any, context: Any) -> None:
    """Of a command, or of a group's. Both are typer's, whose types are private.

    Without a context there is no `--help` to name.
    """
    for below in getattr(command, "commands", {}).values():
        name_values(below, context)
    name_parameters(
        command.params if context is None else [*command.params, command.get_help_option(context)]
    )


def name_parameters(parameters: list[Any]) -> None:
    for parameter in parameters:
        if parameter.param_type_name == "option":
            if parameter.metavar is None:
                parameter.metavar = _word_for(parameter)
        else:
            _name_argument(parameter)


def _name_argument(argument: Any) -> None:
    if argument.metavar is None and argument.nargs == 1:
        argument.metavar = argument.name.upper()
    argument.display_type_rich = _nothing


def _word_for(option: Any) -> str:
    if option.is_flag:
        return ""
    kind = option.type_descriptor
    if kind.is_choice:
        return "|".join(str(choice) for choice in kind.choices or ())
    longest: str = max(option.opts, key=len).lstrip("-").upper().replace("-", "_")
    return _OF_TYPE.get(kind.annotation) or _OF_NAME.get(longest, longest)


def _nothing(*_arguments: object, **_named: object) -> str:
    return ""
