"""OpenAI's `x-ratelimit-*` with durations, and Azure's reading of the same names."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping

from byline.quota import values
from byline.quota.buckets import bucket_window
from byline.quota.snapshot import Window

_NAME = re.compile(
    r"x-ratelimit-(limit|remaining|reset)-((?:requests|tokens|images|input|project)[a-z0-9_-]*)"
)


def read_openai(headers: Mapping[str, str], now: float) -> dict[str, Window]:
    """`x-ratelimit-reset-*` is a duration such as `6m0s`, counted from the answer."""
    return {
        bucket: bucket_window(parts.get("limit"), parts.get("remaining"), _after(parts.get("reset"), now))
        for bucket, parts in _buckets(headers)
    }


def read_azure(headers: Mapping[str, str], now: float) -> dict[str, Window]:
    """Whole seconds instead of durations. `-1` counts and, beside them, a reset of 0 say nothing."""
    return {
        bucket: bucket_window(parts.get("limit"), parts.get("remaining"), _unless_sentinel(parts, now))
        for bucket, parts in _buckets(headers)
    }


def is_azure(headers: Mapping[str, str]) -> bool:
    """No header says so: Azure writes its resets without a unit, OpenAI never does."""
    resets = [parts["reset"] for _, parts in _buckets(headers) if "reset" in parts]
    return bool(resets) and all(text.isdigit() for text in resets)


def _buckets(headers: Mapping[str, str]) -> Iterator[tuple[str, dict[str, str]]]:
    found: dict[str, dict[str, str]] = {}
    for name, value in headers.items():
        if match := _NAME.fullmatch(name):
            found.setdefault(match[2].replace("-", "_"), {})[match[1]] = value.strip()
    yield from found.items()


def _after(text: str | None, now: float) -> int | None:
    seconds = values.duration(text)
    return None if seconds is None else math.ceil(now + seconds)


def _unless_sentinel(parts: Mapping[str, str], now: float) -> int | None:
    unknown = any((values.number(parts.get(name)) or 0) < 0 for name in ("limit", "remaining"))
    return None if unknown and values.number(parts.get("reset")) == 0 else _after(parts.get("reset"), now)
