"""Reads the declared table: which keys a section has, of what type, with which sentence."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Annotated, Any, Literal, NamedTuple, get_args, get_origin, get_type_hints

import msgspec

from byline.settings.table import BudgetsOptions, IdentityOptions, Settings

Section = type[msgspec.Struct]
Path = tuple[str, ...]

_SUBTABLES: dict[Section, str] = {IdentityOptions: "providers", BudgetsOptions: "named"}
"""Sections that take tables by name beside their own keys (`[identity.NAME]`), and the field for them."""


class Field(NamedTuple):
    """One key of a section. `type` is the value's, or the class of the section(s) below."""

    name: str
    shape: Literal["value", "section", "sections"]
    type: Any
    meta: msgspec.Meta | None
    default: Any
    """`msgspec.NODEFAULT` where the key must be written."""


class Names(NamedTuple):
    """A place in the tree where the next part is a name of one's own."""

    section: Section


Place = Section | Names | None


def fields(section: Section) -> dict[str, Field]:
    """The keys that may be written in `section`."""
    return {name: field for name, field in _all_fields(section).items() if name != _SUBTABLES.get(section)}


def subtables(section: Section) -> Field | None:
    return _all_fields(section)[_SUBTABLES[section]] if section in _SUBTABLES else None


@cache
def _all_fields(section: Section) -> dict[str, Field]:
    hints = get_type_hints(section, include_extras=True)
    return {info.name: _field(info, hints[info.name]) for info in msgspec.structs.fields(section)}


def _field(info: msgspec.structs.FieldInfo, hint: Any) -> Field:
    meta = None
    if get_origin(hint) is Annotated:
        hint, meta = get_args(hint)
    default = info.default
    if info.default_factory is not msgspec.NODEFAULT:
        default = info.default_factory()
    if get_origin(hint) is dict and get_args(hint)[1] is not Any:
        return Field(info.name, "sections", get_args(hint)[1], meta, default)
    if isinstance(hint, type) and get_origin(hint) is None and issubclass(hint, msgspec.Struct):
        return Field(info.name, "section", hint, meta, default)
    return Field(info.name, "value", hint, meta, default)


def step(place: Place, part: str) -> tuple[str, Place]:
    """One part of a variable's name: the key it stands for, and where the next part is looked up."""
    if place is None:
        return part, None
    if isinstance(place, Names):
        return _own_name(part), place.section
    field = fields(place).get(part)
    if field is None:
        further = subtables(place)
        return (_own_name(part), further.type) if further else (part, None)
    if field.shape == "sections":
        return part, Names(field.type)
    return part, field.type if field.shape == "section" else None


def _own_name(part: str) -> str:
    return part.replace("_", "-")


def options(section: Section = Settings, at: Path = ()) -> Iterator[tuple[Path, Field]]:
    """Every value below `section` with its path; `NAME` stands for a name of one's own."""
    for field in fields(section).values():
        if field.shape == "value":
            yield (*at, field.name), field
        elif field.shape == "section":
            yield from options(field.type, (*at, field.name))
        else:
            yield from options(field.type, (*at, field.name, "NAME"))
    if further := subtables(section):
        yield from options(further.type, (*at, "NAME"))
