from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest

from byline.cli.report_table import cell, dollars, duration, short, show
from byline.usage.ledger import Table

WIDE = Table(
    ("user", "requests", "input_tokens", "cost_usd"),
    [("ann", 50_425, 1_130_789_751, Decimal("1251.25")), ("bob", 1, None, Decimal("0.001"))],
)


def shown(
    table: Table, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], width: int
) -> list[list[str]]:
    monkeypatch.setattr("byline.cli.report_table.UNWRAPPED_WIDTH", width)
    show(table, totals=("requests", "input_tokens", "cost_usd"))
    return [line.split() for line in capsys.readouterr().out.splitlines()]


def test_figures_are_whole_where_there_is_room(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = shown(WIDE, monkeypatch, capsys, 80)
    assert lines[2] == ["ann", "50,425", "1,130,789,751", "$1,251.25"]
    assert lines[3] == ["bob", "1", "-", "<$0.01"]
    assert lines[-1] == ["total", "50,426", "1,130,789,751", "$1,251.25"]


def test_figures_are_shortened_and_never_cut_where_there_is_not(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = shown(WIDE, monkeypatch, capsys, 40)
    assert lines[2] == ["ann", "50.4", "k", "1.13", "G", "$1,251.25"]
    assert lines[-1] == ["total", "50.4", "k", "1.13", "G", "$1,251.25"]


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0"),
        (999, "999"),
        (1_000, "1.00 k"),
        (12_345, "12.3 k"),
        (345_678, "346 k"),
        (-2_500_000, "-2.50 M"),
    ],
)
def test_short_counts_keep_three_digits(count: int, text: str) -> None:
    assert short(count) == text


@pytest.mark.parametrize(
    ("value", "places", "text"),
    [
        (Decimal("1234.5"), 2, "$1,234.50"),
        (Decimal("-0.5"), 2, "-$0.50"),
        (Decimal("0.004"), 2, "<$0.01"),
        (Decimal(0), 2, "$0.00"),
        (Decimal("0.000037"), 6, "$0.000037"),
    ],
)
def test_money_shows_that_it_is_not_nothing(value: Decimal, places: int, text: str) -> None:
    assert dollars(value, places) == text


@pytest.mark.parametrize(
    ("milliseconds", "text"), [(12.4, "12 ms"), (1_234.0, "1.2 s"), (123_456.0, "123 s")]
)
def test_durations_have_one_fitting_unit(milliseconds: float, text: str) -> None:
    assert duration(milliseconds) == text


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("http_status", 1429, "1429"),
        ("hit_share", 0.5, "50.0%"),
        ("tokens_captured", 0.94537, "94.5%"),
        ("x", None, "-"),
        ("x", True, "yes"),
        ("x", "a\x1b[31m\nb", "a\ufffd[31m\ufffdb"),
        ("hour", datetime(2026, 3, 10, 12, tzinfo=UTC), "2026-03-10 13:00"),
        ("started_at", datetime(2026, 3, 10, 12, tzinfo=UTC), "2026-03-10 13:00:00"),
    ],
)
def test_cells_read_as_what_they_are(name: str, value: object, text: str) -> None:
    assert cell(name, value, ZoneInfo("Europe/Berlin")) == text


def test_a_narrow_terminal_keeps_who_it_was_and_is_told_what_it_does_without(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from rich.console import Console

    from byline.cli import report_table

    monkeypatch.setattr(report_table, "console", lambda: Console(width=60, highlight=False))
    table = Table(
        columns=("user", "model", "request_id", "cost_usd"),
        rows=[("nadia", "claude-sonnet-4-6", "01a20010-5279-7d88-bc6c-6432384bd846", Decimal("0.0322"))],
    )
    wide = Table(columns=(*table.columns, "email", "source"), rows=[(*table.rows[0], None, "x" * 40)])
    report_table.show(wide)
    printed = capsys.readouterr()
    assert "nadia" in printed.out
    assert "01a20010" not in printed.out
    assert max(map(len, printed.out.splitlines())) <= 60
    assert "Left out for want of width: request id" in printed.err


def test_the_last_columns_are_left_out_before_any_is_cut(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("byline.cli.report_table.UNWRAPPED_WIDTH", 40)
    names = tuple(f"column_number_{number}" for number in range(20))
    show(Table(names, [tuple(range(20))]), headings={name: name for name in names})
    printed = capsys.readouterr()
    assert printed.out.split()[:2] == ["column_number_0", "column_number_1"]
    assert max(map(len, printed.out.splitlines())) <= 40
    assert "column_number_2, column_number_3" in printed.err
    assert printed.err.endswith("column_number_9 and 10 more.\n")


@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin"])
def test_times_say_their_zone_above_them(zone: str, capsys: pytest.CaptureFixture[str]) -> None:
    table = Table(("started_at", "user"), [(datetime(2026, 3, 10, 12, tzinfo=UTC), "ann"), (None, "bob")])
    show(table, zone=ZoneInfo(zone))
    assert capsys.readouterr().out.startswith(f"time ({zone})")
