"""Spans and times as people type them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
import typer

from byline.cli.times import parse_since, parse_span, parse_until, parse_zone

NOW = datetime(2026, 3, 8, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "start"),
    [
        ("30m", datetime(2026, 3, 8, 11, 30, tzinfo=UTC)),
        ("24h", datetime(2026, 3, 7, 12, 0, tzinfo=UTC)),
        ("7d", datetime(2026, 3, 1, 12, 0, tzinfo=UTC)),
        ("2026-03-01", datetime(2026, 3, 1, tzinfo=UTC)),
        ("2026-03-01T08:00Z", datetime(2026, 3, 1, 8, tzinfo=UTC)),
        ("2026-03-01T08:00+02:00", datetime(2026, 3, 1, 6, tzinfo=UTC)),
    ],
)
def test_since_is_a_span_back_from_now_or_a_time(text, start):
    assert parse_since(text, NOW) == start


def test_a_day_begins_where_the_zone_says():
    start = parse_since("2026-03-01", NOW, ZoneInfo("Europe/Berlin"))
    assert start == datetime(2026, 2, 28, 23, tzinfo=UTC)


@pytest.mark.parametrize(
    "text", ["", "soon", "-5m", "7 d", "7y", "999999999999d", "2026-13-01", "9" * 30 + "d"]
)
def test_nonsense_is_a_usage_error_with_an_example(text):
    with pytest.raises(typer.BadParameter):
        parse_since(text, NOW)


def test_a_span_has_a_unit():
    assert parse_span("90d") == timedelta(days=90)
    with pytest.raises(typer.BadParameter, match="such as 90d"):
        parse_span("90")


@pytest.mark.parametrize("name", ["Mars/Olympus", "../etc/passwd", ""])
def test_an_unknown_zone_is_a_usage_error(name):
    with pytest.raises(typer.BadParameter, match="such as UTC"):
        parse_zone(name)


def test_a_window_that_ends_before_it_begins_is_refused() -> None:
    now = datetime(2026, 11, 21, 12, tzinfo=UTC)
    with pytest.raises(typer.BadParameter, match=r"--until 2h is not after --since 1h"):
        parse_until("2h", "1h", now)
    assert parse_until(None, "1h", now) is None
