"""A batch of rows with each id once, before any engine sees it. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from byline.usage.record import UsageRecord


def last_word_of_each(rows: Iterable[UsageRecord]) -> list[UsageRecord]:
    """Per `request_id` the first row that isn't `interrupted`, else the first."""
    kept: dict[str, UsageRecord] = {}
    for row in rows:
        known = kept.get(row.request_id)
        if known is None or (known.outcome == "interrupted" and row.outcome != "interrupted"):
            kept[row.request_id] = row
    return list(kept.values())


def first_of_each(rows: Iterable[Mapping[str, Any]], key: str) -> list[Mapping[str, Any]]:
    """Per `key` the first row. Raises ValueError for a row without one."""
    kept: dict[str, Mapping[str, Any]] = {}
    for row in rows:
        value = row.get(key)
        if not isinstance(value, str) or not value:
            raise ValueError(f"a row without {key}")
        kept.setdefault(value, row)
    return list(kept.values())
