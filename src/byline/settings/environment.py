"""Which BYLINE_ variables are settings, and which key each stands for.

`BYLINE_GATEWAY__PORT` is `[gateway] port`; a `_` in a name of one's own stands for `-`, so
`BYLINE_PROVIDERS__MY_PROXY__BASE_URL` is `[providers.my-proxy] base_url`. A variable without `__` is a
setting only if it names a key outside all sections: BYLINE_IDENTITY or BYLINE_DEBUG are other things.
"""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Final

from byline.settings import schema
from byline.settings.table import Settings

PREFIX: Final = "BYLINE_"


def variable(path: schema.Path) -> str:
    """The environment's name of a key."""
    return PREFIX + "__".join(part.upper().replace("-", "_") for part in path)


def settings_in(environ: Mapping[str, str]) -> list[tuple[str, schema.Path]]:
    """The variables that are settings, with the key of each, known or not."""
    single = {variable((name,)) for name, field in schema.fields(Settings).items() if field.shape == "value"}
    ours = sorted(name for name in environ if name.startswith(PREFIX))
    return [(name, _path(name)) for name in ours if name in single or "__" in name]


def _path(name: str) -> schema.Path:
    path: list[str] = []
    place: schema.Place = Settings
    for part in name.removeprefix(PREFIX).lower().split("__"):
        key, place = schema.step(place, part)
        path.append(key)
    return tuple(path)


def lookalikes(environ: Mapping[str, str]) -> list[tuple[str, str]]:
    """Variables that aren't settings but resemble one (`BYLINE_GATEWAY_PORT`), with its name."""
    known = [variable(path) for path, _ in schema.options() if "NAME" not in path]
    read = {name for name, _ in settings_in(environ)}
    ours = [name for name in sorted(environ) if name.startswith(PREFIX) and name not in read]
    near = [(name, get_close_matches(name, known, n=1, cutoff=0.9)) for name in ours]
    return [(name, matches[0]) for name, matches in near if matches]
