"""Days and hours in a time zone as plain integer arithmetic over UTC microseconds.

The offset of a zone is constant between its transitions, so an expression with the few transitions of
a window is exact in every engine, and ten times faster than their calendar functions.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from byline.usage.ledger import QueryError

HOUR_US: Final = 3_600_000_000
DAY_US: Final = 24 * HOUR_US
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_EARLIEST: Final = datetime(2020, 1, 1, tzinfo=UTC)
"""No row is older, so older transitions need not stand in an expression."""


def epoch_us(time: datetime) -> int:
    return (time - _EPOCH) // timedelta(microseconds=1)


def from_epoch_us(value: int) -> datetime:
    return _EPOCH + timedelta(microseconds=int(value))


def day_label(day_number: int) -> str:
    """ISO date of a number of days since 1970."""
    return (date(1970, 1, 1) + timedelta(days=int(day_number))).isoformat()


def zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise QueryError(f"unknown time zone {name!r}: write one such as UTC or Europe/Berlin") from error


def offset_expression(name: str, us: str, since: datetime, until: datetime) -> str | None:
    """SQL for the zone's offset in microseconds at the instant `us`; None where it is always zero."""
    changes = _offsets(zone(name), max(since, _EARLIEST), until)
    if len(changes) == 1:
        return str(changes[0][1]) if changes[0][1] else None
    cases = "".join(f" WHEN {us} < {start} THEN {before}" for (_, before), (start, _) in pairwise(changes))
    return f"CASE{cases} ELSE {changes[-1][1]} END"


def _offsets(tz: ZoneInfo, since: datetime, until: datetime) -> list[tuple[int, int]]:
    """(from when, offset), both in microseconds; the first holds from before `since`."""
    found = [(epoch_us(since), _offset_us(tz, since))]
    time = since
    while time < until:
        following = time + timedelta(days=1)
        if _offset_us(tz, following) != found[-1][1]:
            change = _change_between(tz, time, following)
            found.append((epoch_us(change), _offset_us(tz, change)))
        time = following
    return found


def _change_between(tz: ZoneInfo, before: datetime, after: datetime) -> datetime:
    """The first whole second after `before` with the offset of `after`."""
    before, old = before.replace(microsecond=0), _offset_us(tz, before)
    while after - before > timedelta(seconds=1):
        middle = before + timedelta(seconds=(after - before) // timedelta(seconds=2))
        if _offset_us(tz, middle) == old:
            before = middle
        else:
            after = middle
    return before + timedelta(seconds=1)


def _offset_us(tz: ZoneInfo, time: datetime) -> int:
    offset = time.astimezone(tz).utcoffset()
    assert offset is not None
    return offset // timedelta(microseconds=1)
