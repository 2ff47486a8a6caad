"""What ChatGPT plans tell Codex: `x-codex-*`, in percent and minutes."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from byline.quota import values
from byline.quota.early_warning import DEFAULT_RULES, EarlyWarningRules, runs_ahead
from byline.quota.snapshot import FIVE_HOURS_S, SEVEN_DAYS_S, Window

PREFIX = "x-codex-"
_NAME = re.compile(
    r"x-codex-(?:([a-z0-9_-]+)-)?(primary|secondary)-(used-percent|window-minutes|reset-after-seconds|reset-at)"
)
_PACE_OF = {FIVE_HOURS_S: "five_hour", SEVEN_DAYS_S: "seven_day"}
"""Which early-warning figures a window follows, by its length."""


def read_codex(
    headers: Mapping[str, str], now: float, *, refused: bool, rules: EarlyWarningRules = DEFAULT_RULES
) -> dict[str, Any]:
    """Fields of a QuotaSnapshot. Windows are `primary`, `secondary`, and `<limit>_primary` of others."""
    windows = _windows(headers, now)
    if not windows:
        return {}
    fields: dict[str, Any] = {"windows": windows, "status": "rejected" if refused else "allowed"}
    full = (name for name, window in windows.items() if (window.utilization or 0) >= 1)
    ahead = (name for name, window in windows.items() if _runs_ahead(window, now, rules))
    name = next(full, None) or (None if refused else next(ahead, None))
    if name is not None:
        fields |= _about(name, windows[name], "rejected" if refused else "allowed_warning")
    return fields


def _about(name: str, window: Window, status: str) -> dict[str, Any]:
    used = window.utilization if status == "allowed_warning" else None
    return {
        "status": status,
        "rate_limit_type": name,
        "utilization": used,
        "resets_at": window.resets_at,
    }


def _runs_ahead(window: Window, now: float, rules: EarlyWarningRules) -> bool:
    return runs_ahead(window, _PACE_OF.get(window.duration_s or 0, ""), now, rules)


def _windows(headers: Mapping[str, str], now: float) -> dict[str, Window]:
    found: dict[str, dict[str, str]] = {}
    for header, value in headers.items():
        if value.strip() and (match := _NAME.fullmatch(header)):
            limit = f"{match[1].replace('-', '_')}_" if match[1] else ""
            found.setdefault(limit + match[2], {})[match[3]] = value.strip()
    return {name: _window(parts, now) for name, parts in found.items()}


def _window(parts: Mapping[str, str], now: float) -> Window:
    after = values.duration(parts.get("reset-after-seconds"))
    minutes = values.number(parts.get("window-minutes"))
    return Window(
        utilization=values.percent(parts.get("used-percent")),
        resets_at=values.epoch(parts.get("reset-at")) or (None if after is None else math.ceil(now + after)),
        duration_s=None if minutes is None else int(minutes * 60),
    )
