"""Calendar windows in UTC: an hour, a day, a week from Monday, a month."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import msgspec

from byline.budgets.limits import Period


class CalendarWindow(msgspec.Struct, frozen=True):
    name: str
    """`2026-11-21`, `2026-W47`, ...: the same on every machine."""
    starts_at: float
    ends_at: float


def window_at(period: Period, now: float) -> CalendarWindow:
    at = datetime.fromtimestamp(now, UTC)
    hour = at.replace(minute=0, second=0, microsecond=0)
    day = hour.replace(hour=0)
    match period:
        case "minute":
            start = at.replace(second=0, microsecond=0)
            return _window(start.strftime("%Y-%m-%dT%H:%M"), start, start + timedelta(minutes=1))
        case "hour":
            return _window(hour.strftime("%Y-%m-%dT%H"), hour, hour + timedelta(hours=1))
        case "day":
            return _window(day.strftime("%Y-%m-%d"), day, day + timedelta(days=1))
        case "week":
            monday = day - timedelta(days=day.weekday())
            return _window(monday.strftime("%G-W%V"), monday, monday + timedelta(days=7))
        case "month":
            first = day.replace(day=1)
            return _window(first.strftime("%Y-%m"), first, (first + timedelta(days=32)).replace(day=1))


def _window(name: str, start: datetime, end: datetime) -> CalendarWindow:
    return CalendarWindow(name, start.timestamp(), end.timestamp())


class Calendar:
    """The windows of the moment, worked out once each."""

    def __init__(self) -> None:
        self._current: dict[Period, CalendarWindow] = {}

    def window(self, period: Period, now: float) -> CalendarWindow:
        known = self._current.get(period)
        if known is None or not known.starts_at <= now < known.ends_at:
            known = self._current[period] = window_at(period, now)
        return known
