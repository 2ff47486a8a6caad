"""The settings file and the environment become `Settings`; the environment wins."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, cast

import msgspec

from byline.settings import schema
from byline.settings.check import complete, problems_in
from byline.settings.environment import settings_in
from byline.settings.errors import SettingsError
from byline.settings.lines import line_of
from byline.settings.reader import Given, Reader, Tree
from byline.settings.table import Settings

DEFAULT_FILE: Final = Path("byline.toml")


def load(path: Path | None, environ: Mapping[str, str]) -> Settings:
    """Settings from `path`, which must exist; without one, from `byline.toml` if that is there.

    Relative paths in the file are relative to its directory, so is the default `data_dir`.
    Raises SettingsError with every problem found.
    """
    file = path or DEFAULT_FILE
    tree = _read_file(file) if path or file.exists() else Tree()
    for name, key in settings_in(environ):
        _put(tree, key, Given(environ[name], name, None))
    reader = Reader()
    settings = reader.section(Settings, tree, (), Settings())
    assert settings is not None  # nothing at the top is required
    if reader.problems:
        raise SettingsError(*reader.problems)
    if "data_dir" not in tree:
        settings = msgspec.structs.replace(settings, data_dir=file.parent / settings.data_dir)
    return _checked(complete(settings), file if tree else None)


def _checked(settings: Settings, file: Path | None) -> Settings:
    if problems := problems_in(settings):
        raise SettingsError(*(f"{file}: {problem}" if file else problem for problem in problems))
    return settings


def _put(tree: Tree, path: schema.Path, given: Given) -> None:
    for part in path[:-1]:
        below = tree.get(part)
        if not isinstance(below, dict):
            below = tree[part] = Tree()
        tree = below
    tree[path[-1]] = given


def _read_file(file: Path) -> Tree:
    text = _text(file)
    try:
        return _tree(tomllib.loads(text), (), file, text)
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{file}: not valid TOML: {error}") from None


def _text(file: Path) -> str:
    try:
        return file.read_bytes().decode("utf-8")
    except FileNotFoundError:
        raise SettingsError(f"{file}: no such file; correct --config or leave it out") from None
    except UnicodeDecodeError:
        raise SettingsError(f"{file}: not UTF-8 text; save it as UTF-8") from None
    except OSError as error:
        raise SettingsError(f"{file}: can't be read: {error.strerror}") from None


def _tree(table: Mapping[str, Any], at: schema.Path, file: Path, text: str) -> Tree:
    tree = Tree()
    for key, value in table.items():
        path = (*at, key)
        if isinstance(value, dict):
            tree[key] = _tree(cast("dict[str, Any]", value), path, file, text)
        else:
            line = line_of(text, path)
            tree[key] = Given(value, f"{file}:{line}" if line else str(file), file.parent)
    return tree
