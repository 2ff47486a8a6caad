"""Whether a stored value may stand in for a default: the default's type is what the reader counts on."""

from __future__ import annotations

from typing import Final, cast

from byline.flags.snapshot import Json

MISFIT: Final = object()


def fit(value: Json, default: object) -> Json:
    """`value`, or MISFIT. A stored null always fits; a bool is no int; a whole number serves as float."""
    if value is None or default is None:
        return value
    if isinstance(value, bool) or isinstance(default, bool):
        return value if isinstance(value, bool) and isinstance(default, bool) else MISFIT
    if isinstance(default, float) and isinstance(value, int):
        return _as_float(value)
    if isinstance(default, tuple):
        return cast("Json", value) if isinstance(value, list) else MISFIT
    kind = next((kind for kind in (str, int, float, list, dict) if isinstance(default, kind)), None)
    return cast("Json", value) if kind is not None and isinstance(value, kind) else MISFIT


def _as_float(value: int) -> object:
    try:
        return float(value)
    except OverflowError:
        return MISFIT
