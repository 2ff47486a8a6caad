"""Times and spans as people type them: `30m`, `24h`, `7d`, a date, a time. The clock is an argument."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Annotated
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import typer

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_SPAN = re.compile(r"(\d+)([smhdw])")

SinceOption = Annotated[
    str,
    typer.Option(
        "--since", metavar="SPAN|TIME", help="From when on: 30m, 24h, 7d, 2026-03-01, 2026-03-01T08:00Z."
    ),
]
UntilOption = Annotated[
    str | None,
    typer.Option("--until", metavar="SPAN|TIME", help="Up to when; now if absent.", show_default=False),
]
TzOption = Annotated[str, typer.Option("--tz", metavar="ZONE", help="Time zone of days and of times shown.")]


def parse_since(text: str, now: datetime, zone: tzinfo = UTC, *, option: str = "--since") -> datetime:
    """The time that `text` means, aware; one without an offset stands in `zone`. Errors name `option`."""
    if _SPAN.fullmatch(text):
        return _before(now, text, option)
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(
            f"{text!r} is neither a span (30m, 24h, 7d) nor a time (2026-03-01, 2026-03-01T08:00Z)",
            param_hint=option,
        ) from None
    return time if time.tzinfo else time.replace(tzinfo=zone)


def _before(now: datetime, text: str, option: str) -> datetime:
    try:
        return now - parse_span(text, option=option)
    except OverflowError:
        raise typer.BadParameter(
            f"{text!r} reaches before the year 1; write 30m, 24h or 7d", param_hint=option
        ) from None


def parse_until(text: str | None, since: str, now: datetime, zone: tzinfo = UTC) -> datetime | None:
    """The end of the window that began at `since`. Raises BadParameter where it would be empty."""
    if not text:
        return None
    until = parse_since(text, now, zone, option="--until")
    if until <= parse_since(since, now, zone):
        raise typer.BadParameter(f"--until {text} is not after --since {since}", param_hint="--until")
    return until


def parse_span(text: str, *, option: str | None = None) -> timedelta:
    """`90d` and the like, as for `--expires`. Errors name `option`."""
    match = _SPAN.fullmatch(text)
    if not match:
        raise typer.BadParameter(
            f"{text!r} is not a span; write a number and s, m, h, d or w, such as 90d", param_hint=option
        )
    try:
        return timedelta(**{_UNITS[match[2]]: int(match[1])})
    except OverflowError:
        raise typer.BadParameter(
            f"{text!r} is too long a span; write one such as 90d", param_hint=option
        ) from None


def parse_zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError):
        raise typer.BadParameter(
            f"{name!r} is no time zone; write one such as UTC or Europe/Berlin", param_hint="--tz"
        ) from None
