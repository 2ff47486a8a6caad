"""One line for Claude Code's status line: what is left of its own limits, or of the gateway's credential."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import tzinfo
from typing import Any, cast

from byline.quota import values
from byline.quota.snapshot import QuotaSnapshot, Window, is_past
from byline.quota.text import clock_time

_SHORT = {"five_hour": "5h", "seven_day": "7d", "overage": "budget"}
_BAR_CELLS = 8
_FULL, _EMPTY = "█", "░"


def windows_of_session(session: object) -> dict[str, Window]:
    """`rate_limits` of the JSON that Claude Code hands its status line: percent, epoch seconds."""
    limits = _mapping(_mapping(session).get("rate_limits"))
    found: dict[str, Window] = {}
    for name, given in limits.items():
        limit = _mapping(given)
        used = values.percent(str(limit.get("used_percentage", "")))
        if used is not None:
            found[name] = Window(utilization=used, resets_at=values.epoch(str(limit.get("resets_at", ""))))
    return found


def statusline(
    windows: Mapping[str, Window], now: float, zone: tzinfo | None = None, model: str | None = None
) -> str:
    """`Opus · 5h ██████░░ 78 % until 7:57pm (UTC) · 7d ...`; empty where nothing is known."""
    parts = [
        _part(name, window, now, zone)
        for name, window in windows.items()
        if window.utilization is not None and not is_past(window.resets_at, now)
    ]
    return " · ".join(filter(None, [model, *parts])) if parts else model or ""


def fullest(snapshots: Iterable[QuotaSnapshot], now: float) -> dict[str, Window]:
    """Of each window the one that is used most, whatever the credential."""
    found: dict[str, Window] = {}
    for snapshot in snapshots:
        for name, window in snapshot.as_of(now).windows.items():
            known = found.get(name)
            if window.utilization is not None and (
                known is None or window.utilization > (known.utilization or 0)
            ):
                found[name] = window
    return found


def model_of_session(session: object) -> str | None:
    name = _mapping(_mapping(session).get("model")).get("display_name")
    return name if isinstance(name, str) else None


def bar(used: float, cells: int = _BAR_CELLS) -> str:
    """Full only when it is full."""
    filled = min(int(max(used, 0.0) * cells + 1e-9), cells)
    return _FULL * filled + _EMPTY * (cells - filled)


def _part(name: str, window: Window, now: float, zone: tzinfo | None) -> str:
    used = window.utilization or 0.0
    until = "" if window.resets_at is None else f" until {clock_time(window.resets_at, now, zone)}"
    return f"{_SHORT.get(name, name.replace('_', ' '))} {bar(used)} {used:.0%}".replace("%", " %") + until


def _mapping(value: object) -> Mapping[str, Any]:
    return cast("Mapping[str, Any]", value) if isinstance(value, Mapping) else {}
