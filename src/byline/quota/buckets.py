"""Anthropic's per-minute buckets (`anthropic-ratelimit-tokens-*`) and its priority tier's."""

from __future__ import annotations

import re
from collections.abc import Mapping

from byline.quota import values
from byline.quota.snapshot import Window

_NAME = re.compile(
    r"anthropic-(?:(ratelimit)|(priority))-(requests|tokens|input-tokens|output-tokens)-(limit|remaining|reset)"
)


def read_anthropic_buckets(headers: Mapping[str, str]) -> dict[str, Window]:
    """`requests`, `tokens`, `input_tokens`, `output_tokens`; with `priority_` before it for that tier.

    Anthropic rounds remaining tokens to the nearest thousand, so utilization is as coarse.
    """
    found: dict[str, dict[str, str]] = {}
    for name, value in headers.items():
        if match := _NAME.fullmatch(name):
            bucket = ("priority_" if match[2] else "") + match[3].replace("-", "_")
            found.setdefault(bucket, {})[match[4]] = value
    return {
        bucket: bucket_window(parts.get("limit"), parts.get("remaining"), values.epoch(parts.get("reset")))
        for bucket, parts in found.items()
    }


def bucket_window(limit_text: str | None, remaining_text: str | None, resets_at: int | None) -> Window:
    """A negative count says that the provider doesn't know: Azure sends -1."""
    limit, remaining = _count(limit_text), _count(remaining_text)
    used = None if not limit or remaining is None else round(1 - remaining / limit, 6)
    return Window(utilization=used, resets_at=resets_at, limit=limit, remaining=remaining)


def _count(text: str | None) -> int | None:
    value = values.whole(text)
    return value if value is not None and value >= 0 else None
