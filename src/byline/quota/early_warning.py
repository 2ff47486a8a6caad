"""When use runs ahead of time: so much of a window used so early that it won't last.

The figures are policy, not protocol, so they are values that a caller may replace.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from byline.quota.snapshot import FIVE_HOURS_S, SEVEN_DAYS_S, Window


class Pace(msgspec.Struct, frozen=True):
    """A warning is due at `utilization` or more while no more than `elapsed` of the window is over."""

    utilization: float
    elapsed: float


class EarlyWarningRules(msgspec.Struct, frozen=True):
    windows: Mapping[str, tuple[Pace, ...]]
    """By window; the first window that runs ahead is the one to warn of."""
    floor: float = 0.70
    """Nobody is told of a limit that is used less than this."""


DEFAULT_RULES = EarlyWarningRules(
    {
        "five_hour": (Pace(0.90, 0.72),),
        "seven_day": (Pace(0.75, 0.60), Pace(0.50, 0.35), Pace(0.25, 0.15)),
    }
)
"""As Claude Code does it. Measured on both sides of each pair; the constants themselves are unpublished."""

_DURATIONS_S = {"five_hour": FIVE_HOURS_S, "seven_day": SEVEN_DAYS_S}


def runs_ahead(window: Window, name: str, now: float, rules: EarlyWarningRules = DEFAULT_RULES) -> bool:
    duration_s = window.duration_s or _DURATIONS_S.get(name)
    if window.utilization is None or window.resets_at is None or not duration_s:
        return False
    elapsed = min(max(1 - (window.resets_at - now) / duration_s, 0.0), 1.0)
    used = window.utilization
    return any(used >= pace.utilization and elapsed <= pace.elapsed for pace in rules.windows.get(name, ()))
