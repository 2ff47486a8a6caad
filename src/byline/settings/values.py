"""Single values: what type an option wants, how it is written, and what to say when it isn't.

A value comes from TOML, typed, or from the environment, as text. Messages name the type found, never
the value: it may be a key that stands in the wrong place.
"""

from __future__ import annotations

import json
import math
import re
from decimal import Decimal, InvalidOperation
from difflib import get_close_matches
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Final, Literal, NewType, Union, get_args, get_origin

import msgspec

ZERO_ALLOWED: Final = {"zero": True}
"""`extra` of a duration option for which 0 is a duration like any other."""

_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)")
_SECONDS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86_400}
_SIZE = re.compile(r"(\d+)\s*([KMGT]i?)?B?")
_BYTES = {prefix: 1000**power for power, prefix in enumerate(["", "K", "M", "G", "T"])} | {
    f"{prefix}i": 1024**power for power, prefix in enumerate(["", "K", "M", "G", "T"])
}
_MILLISECONDS = {"d": 86_400_000, "h": 3_600_000, "m": 60_000, "s": 1000, "ms": 1}
_BINARY = {"GiB": 1024**3, "MiB": 1024**2, "KiB": 1024, "B": 1}
_BOOLS = {"true": True, "1": True, "false": False, "0": False}


# New types, not subclasses: a value leaves here as a plain number, which every encoder takes.
Duration = NewType("Duration", float)
"""Seconds, written `20ms`, `5s`, `5m`, `24h`, `7d`, or as a plain number."""
Size = NewType("Size", int)
"""Bytes, written `64MB` (decimal), `16KiB` (binary), or as a plain number."""


Money = NewType("Money", Decimal)
"""US dollars, written `5`, `2.50` or `"2.50"`."""


def parse_money(value: object) -> Money:
    """A float is taken as it was written, not as the binary fraction nearest to it."""
    if isinstance(value, (str, int, float)) and not isinstance(value, bool):
        try:
            amount = Decimal(str(value).strip())
        except InvalidOperation:
            raise ValueError from None
        if amount.is_finite() and amount >= 0:
            return Money(amount)
    raise ValueError


def parse_duration(value: object) -> Duration:
    if isinstance(value, str) and (match := _DURATION.fullmatch(value.strip())):
        return Duration(round(float(match[1]) * _SECONDS[match[2]], 9))
    number = (
        float(value) if isinstance(value, (int, float, str)) and not isinstance(value, bool) else math.nan
    )
    if math.isfinite(number) and number >= 0:
        return Duration(number)
    raise ValueError


def parse_size(value: object) -> Size:
    if isinstance(value, str) and (match := _SIZE.fullmatch(value.strip())):
        return Size(int(match[1]) * _BYTES[match[2] or ""])
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return Size(value)
    raise ValueError


def zero_is(word: str) -> dict[str, Any]:
    """`extra` of a duration option for which 0 means something else, which may be written as this word."""
    return {"zero": word}


def _word_for_zero(meta: msgspec.Meta | None) -> str | None:
    word = (meta.extra or {}).get("zero") if meta else None
    return word if isinstance(word, str) else None


def written(kind: Any, value: Any, meta: msgspec.Meta | None = None) -> str:
    """A value of that type as one would write it in TOML; empty for None."""
    if value is None:
        return ""
    if kind is Duration and value == 0 and (word := _word_for_zero(meta)):
        return json.dumps(word)
    if kind is Duration:
        return json.dumps(_in_units(round(value * 1000), _MILLISECONDS, "ms"))
    if kind is Size:
        return json.dumps(_in_units(value, _BINARY, "B"))
    return json.dumps(str(value) if isinstance(value, Path) else value)


def _in_units(amount: int, units: dict[str, int], smallest: str) -> str:
    """In the largest unit that leaves no fraction: 90 s, not 1.5 m."""
    if amount == 0:
        return f"0{smallest}"
    unit = next(unit for unit, size in units.items() if amount % size == 0)
    return f"{amount // units[unit]}{unit}"


def read(kind: Any, meta: msgspec.Meta | None, value: object, *, is_text: bool) -> Any:
    """`value` as the option's type. Raises ValueError that says what was expected instead."""
    optional, kind = _unwrap(kind)
    if optional and value == "":
        return None
    try:
        return _convert(kind, meta, _typed(kind, value) if is_text else value)
    except (ValueError, msgspec.ValidationError):
        raise ValueError(f"must be {expected(kind, meta)}{_hint(kind, value)}") from None


def _convert(kind: Any, meta: msgspec.Meta | None, value: object) -> Any:
    if kind is Duration:
        duration = Duration(0) if value == (_word_for_zero(meta) or ...) else parse_duration(value)
        if duration == 0 and not (meta and (meta.extra or {}).get("zero")):
            raise ValueError
        return duration
    if kind is Size:
        return parse_size(value)
    if kind is Money:
        return parse_money(value)
    if kind is Path:
        return Path(msgspec.convert(value, Annotated[str, msgspec.Meta(min_length=1)])).expanduser()
    if get_origin(kind) is dict:
        return msgspec.convert(value, dict[str, Any])
    bounds = msgspec.Meta(ge=meta.ge, le=meta.le) if meta and kind is int else None
    return msgspec.convert(value, _annotated(kind, bounds))


def _annotated(kind: Any, bounds: msgspec.Meta | None) -> Any:
    return Annotated[kind, bounds] if bounds else kind


def _typed(kind: Any, text: str | object) -> object:
    """What the environment's text would be in TOML."""
    assert isinstance(text, str)
    if kind is int:
        return int(text)
    if kind is bool:
        return _BOOLS.get(text.strip().lower(), text)
    if get_origin(kind) is dict:
        return json.loads(text)
    if get_origin(kind) is tuple:
        if text.lstrip().startswith("["):
            return json.loads(text)
        return [part.strip() for part in text.split(",") if part.strip()]
    return text


def _unwrap(kind: Any) -> tuple[bool, Any]:
    """Whether None is allowed, and the type beside it."""
    if get_origin(kind) in (Union, UnionType):
        (inner,) = (arg for arg in get_args(kind) if arg is not type(None))
        return True, inner
    return False, kind


def expected(kind: Any, meta: msgspec.Meta | None = None) -> str:
    """What an option of this type wants, with an example."""
    _, kind = _unwrap(kind)
    if get_origin(kind) is Literal:
        return "one of " + ", ".join(f'"{choice}"' for choice in get_args(kind) if choice)
    if get_origin(kind) is tuple:
        inner = get_args(kind)[0]
        example = get_args(inner) if get_origin(inner) is Literal else ("one", "two")
        return f"a list, such as {json.dumps(list(example))}"
    if get_origin(kind) is dict:
        return "a table, such as { fast_path = true }, in the environment a JSON object"
    if kind is int:
        return f"a whole number{_range(meta)}"
    word = _word_for_zero(meta)
    return f'{_EXPECTED[kind]}, or "{word}"' if word else _EXPECTED[kind]


def type_name(kind: Any, meta: msgspec.Meta | None = None) -> str:
    """The type in a word or its choices, for a table."""
    _, kind = _unwrap(kind)
    if get_origin(kind) is Literal:
        return ", ".join(f"`{choice}`" for choice in get_args(kind) if choice)
    if get_origin(kind) is tuple:
        return "list" if get_args(kind)[0] is str else f"list of {type_name(get_args(kind)[0])}"
    if get_origin(kind) is dict:
        return "table"
    word = _word_for_zero(meta)
    return f"number{_range(meta)}" if kind is int else _TYPE_NAMES[kind] + (f" or `{word}`" if word else "")


_TYPE_NAMES: dict[Any, str] = {
    str: "text",
    bool: "true or false",
    Path: "path",
    Duration: "duration",
    Size: "size",
    Money: "dollars",
}
_EXPECTED: dict[Any, str] = {
    str: 'text in quotes, such as "name"',
    bool: "true or false",
    Path: 'the path of a file or directory, such as "/etc/byline/file.pem"',
    Duration: 'a duration, such as "20ms", "5s", "5m", "24h" or "7d"',
    Size: 'a size, such as "16KiB", "64MB" or 65536',
    Money: 'an amount in US dollars, such as 5 or "2.50"',
}


def _range(meta: msgspec.Meta | None) -> str:
    if meta is None or meta.ge is None:
        return ""
    return f" from {meta.ge} to {meta.le}" if meta.le is not None else f", {meta.ge} or more"


def _hint(kind: Any, value: object) -> str:
    if get_origin(kind) is Literal and isinstance(value, str):
        near = get_close_matches(value, [choice for choice in get_args(kind) if choice], n=1)
        return f'; did you mean "{near[0]}"?' if near else ""
    return "" if isinstance(value, str) else f", not {_name(value)}"


def _name(value: object) -> str:
    match value:
        case bool():
            return "true or false"
        case int() | float():
            return str(value)
        case list():
            return "a list" if value else "an empty list"
        case dict():
            return "a table"
        case _:
            return "a date or time"
