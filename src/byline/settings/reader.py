"""A tree of written values becomes the table's structs; what doesn't fit is collected, all of it."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NamedTuple, TypeVar, get_origin

import msgspec

from byline.settings import schema, values
from byline.settings.environment import variable

S = TypeVar("S", bound=msgspec.Struct)


class Given(NamedTuple):
    """A value as somebody wrote it, and where."""

    value: object
    origin: str
    """`byline.toml:12`, or the variable's name."""
    directory: Path | None
    """What a relative path in a file is relative to; None for the environment."""

    @property
    def from_environment(self) -> bool:
        return self.directory is None


Tree = dict[str, "Given | Tree"]


class Reader:
    def __init__(self) -> None:
        self.problems: list[str] = []

    def section(self, kind: type[S], tree: Tree, at: schema.Path, base: S | None = None) -> S | None:
        """The struct that `tree` says, over `base`; None if something required is missing."""
        fields = schema.fields(kind)
        found: dict[str, Any] = {}
        named: Tree = {}
        for key, node in tree.items():
            if key in fields:
                self._field(fields[key], node, (*at, key), found)
            elif schema.subtables(kind) and isinstance(node, dict):
                named[key] = node
            else:
                self._unknown(kind, node, (*at, key))
        if further := schema.subtables(kind):
            found[further.name] = self._named(further, named, at)
        if base is not None:
            return msgspec.structs.replace(base, **found)
        return None if self._missing(kind, tree, at) else kind(**found)

    def _field(self, field: schema.Field, node: Given | Tree, at: schema.Path, found: dict[str, Any]) -> None:
        if field.shape == "value":
            self._value(field, node, at, found)
        elif isinstance(node, Given):
            self._not_a_table(node, at, (*at, "NAME") if field.shape == "sections" else at)
        elif field.shape == "sections":
            found[field.name] = self._named(field, node, at)
        else:
            found[field.name] = self.section(field.type, node, at, field.default)

    def _named(self, field: schema.Field, tree: Tree, at: schema.Path) -> dict[str, Any]:
        """Sections under names of one's own, over those that are there by default."""
        defaults: Mapping[str, Any] = field.default
        result = dict(defaults)
        for name, node in tree.items():
            if isinstance(node, Given):
                self._not_a_table(node, (*at, name), (*at, name))
            elif section := self.section(field.type, node, (*at, name), defaults.get(name)):
                result[name] = section
        return result

    def _value(self, field: schema.Field, node: Given | Tree, at: schema.Path, found: dict[str, Any]) -> None:
        if isinstance(node, dict) and get_origin(field.type) is dict:
            node = Given(_plain(node), _origin(node), Path())
        if isinstance(node, dict):
            expected = values.expected(field.type, field.meta)
            self.problems.append(f"{_origin(node)}: {_dotted(at)} must be {expected}, not a table")
            return
        try:
            value = values.read(field.type, field.meta, node.value, is_text=node.from_environment)
        except ValueError as error:
            self.problems.append(f"{node.origin}: {_dotted(at)} {error}")
            return
        found[field.name] = node.directory / value if node.directory and isinstance(value, Path) else value

    def _not_a_table(self, given: Given, at: schema.Path, header: schema.Path) -> None:
        self.problems.append(
            f"{given.origin}: {_dotted(at)} is a table; write [{_dotted(header)}] and its keys below"
        )

    def _missing(self, kind: type[msgspec.Struct], tree: Tree, at: schema.Path) -> bool:
        required = [
            f for f in schema.fields(kind).values() if f.default is msgspec.NODEFAULT and f.name not in tree
        ]
        for field in required:
            sentence = field.meta.description if field.meta else ""
            self.problems.append(f"{_origin(tree)}: {_dotted((*at, field.name))} is missing: {sentence}")
        return bool(required)

    def _unknown(self, kind: type[msgspec.Struct], node: Given | Tree, at: schema.Path) -> None:
        origin = _origin(node)
        near = _nearest(kind, at)
        shown = variable(near) if near and origin.startswith("BYLINE_") else _dotted(near or ())
        known = ", ".join(schema.fields(kind))
        remedy = f"did you mean {shown}?" if near else f"known here: {known}"
        self.problems.append(f"{origin}: {_dotted(at)} is not a setting; {remedy}")


def _plain(node: Given | Tree) -> object:
    """A table whose keys nobody has declared, as it was written."""
    return {key: _plain(below) for key, below in node.items()} if isinstance(node, dict) else node.value


def _nearest(kind: type[msgspec.Struct], at: schema.Path) -> schema.Path | None:
    """The valid key most like `at`: in the same section, or of the same name in another."""
    matches = get_close_matches(at[-1], schema.fields(kind), n=1)
    if matches:
        return (*at[:-1], matches[0])
    return next((path for path, _ in schema.options() if path[-1] == at[-1] and "NAME" not in path), None)


def _origin(node: Given | Tree) -> str:
    """Where a value stands; for a table, where its first value does."""
    while isinstance(node, dict):
        if not node:
            return "settings"
        node = next(iter(node.values()))
    return node.origin


def _dotted(path: schema.Path) -> str:
    return ".".join(path)
