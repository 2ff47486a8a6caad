"""Zone arithmetic against the zone database itself."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from byline.usage.ledger import QueryError
from byline.usage.reports.local_time import DAY_US, day_label, epoch_us, from_epoch_us, offset_expression

BEGINNING, END = datetime(2025, 1, 1, tzinfo=UTC), datetime(2028, 1, 1, tzinfo=UTC)
ZONES = (
    "Europe/Berlin",
    "America/New_York",
    "Asia/Kolkata",
    "Australia/Lord_Howe",
    "Africa/Casablanca",
    "UTC",
)
EXPRESSIONS = {name: offset_expression(name, "us", BEGINNING, END) for name in ZONES}


def offset_us(expression: str | None, us: int) -> int:
    """Evaluates `CASE WHEN us < a THEN x ... ELSE z END` as an engine would."""
    if expression is None:
        return 0
    if not expression.startswith("CASE"):
        return int(expression)
    *cases, otherwise = expression.removeprefix("CASE WHEN us < ").removesuffix(" END").split(" ELSE ")
    for case in cases[0].split(" WHEN us < "):
        limit, _, value = case.partition(" THEN ")
        if us < int(limit):
            return int(value)
    return int(otherwise)


@given(
    st.sampled_from(ZONES),
    st.datetimes(BEGINNING.replace(tzinfo=None), END.replace(tzinfo=None), timezones=st.just(UTC)),
)
def test_days_are_those_of_the_zone_database(zone: str, time: datetime) -> None:
    us = epoch_us(time)
    day = day_label((us + offset_us(EXPRESSIONS[zone], us)) // DAY_US)
    assert day == time.astimezone(ZoneInfo(zone)).date().isoformat()


@pytest.mark.parametrize(
    ("change", "before_h", "after_h"),
    [(datetime(2026, 3, 29, 1, tzinfo=UTC), 1, 2), (datetime(2026, 10, 25, 1, tzinfo=UTC), 2, 1)],
)
def test_an_offset_changes_at_the_very_second(change: datetime, before_h: int, after_h: int) -> None:
    expression = EXPRESSIONS["Europe/Berlin"]
    hour = 3_600_000_000
    assert offset_us(expression, epoch_us(change) - 1) == before_h * hour
    assert offset_us(expression, epoch_us(change)) == after_h * hour


def test_a_window_without_a_change_needs_no_cases() -> None:
    january = datetime(2026, 1, 1, tzinfo=UTC)
    assert offset_expression("Europe/Berlin", "us", january, january + timedelta(days=30)) == "3600000000"
    assert offset_expression("UTC", "us", BEGINNING, END) is None


def test_microseconds_survive_both_ways() -> None:
    time = datetime(2026, 3, 10, 12, 0, 0, 123457, tzinfo=UTC)
    assert from_epoch_us(epoch_us(time)) == time


@pytest.mark.parametrize("name", ["Mars/Olympus", "", "../etc/passwd", "Europe"])
def test_an_unknown_zone_is_named(name: str) -> None:
    with pytest.raises(QueryError, match="time zone"):
        offset_expression(name, "us", BEGINNING, END)
