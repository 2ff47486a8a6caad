"""Rows as table, JSON and CSV; stdout is data and safe to show."""

from __future__ import annotations

import csv
import io
import json
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

import pytest

from byline.cli.output import Format, printable, write, write_object
from byline.usage.ledger import Table

BERLIN = timezone(timedelta(hours=1))
ROWS = Table(
    columns=("user", "requests", "cost_usd", "last", "ttft_ms", "streaming"),
    rows=[
        ("ana", 1234, Decimal("0.0000000120"), datetime(2026, 3, 1, 9, 30, tzinfo=BERLIN), 12.25, True),
        (None, None, Decimal("12.5"), datetime(2026, 3, 1, 8, 30, tzinfo=UTC), None, False),
    ],
)


def test_json_is_one_array_with_exact_money_and_utc_times(capsys):
    write(ROWS, Format.json)
    assert json.loads(capsys.readouterr().out) == [
        {
            "user": "ana",
            "requests": 1234,
            "cost_usd": "0.0000000120",
            "last": "2026-03-01T08:30:00Z",
            "ttft_ms": 12.25,
            "streaming": True,
        },
        {
            "user": None,
            "requests": None,
            "cost_usd": "12.5",
            "last": "2026-03-01T08:30:00Z",
            "ttft_ms": None,
            "streaming": False,
        },
    ]


def test_no_rows_are_an_empty_array(capsys):
    write(Table(columns=("user",), rows=[]), Format.json)
    assert json.loads(capsys.readouterr().out) == []


def test_one_thing_is_one_json_object(capsys):
    write_object({"key_id": "k1", "cost": Decimal(1)}, Format.json)
    assert json.loads(capsys.readouterr().out) == {"key_id": "k1", "cost": "1"}


def test_csv_has_a_header_and_reads_back(capsys):
    write(ROWS, Format.csv)
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert rows[0]["cost_usd"] == "0.0000000120"
    assert rows[1]["user"] == ""
    assert rows[1]["streaming"] == "false"


def test_a_table_in_a_pipe_keeps_each_row_on_one_line(capsys):
    write(Table(columns=("a", "b"), rows=[("x" * 300, "y" * 300)]))
    assert any("x" * 300 in line and "y" * 300 in line for line in capsys.readouterr().out.splitlines())


def test_a_table_groups_numbers_and_rounds_money(capsys):
    write(ROWS)
    out = capsys.readouterr().out
    for shown in ("1,234", "<$0.01", "$12.50", "2026-03-01 08:30:00", "12 ms", "yes", "-"):
        assert shown in out


@pytest.mark.parametrize("hostile", ["\x1b[2Jgone", "a\rb", "a\nb", "\u202etxt", "\x9b31m"])
def test_text_from_clients_cannot_steer_the_terminal(capsys, hostile):
    write(Table(columns=("job",), rows=[(hostile,)]))
    shown = capsys.readouterr().out.splitlines()
    assert len([line for line in shown if "\ufffd" in line]) == 1
    assert not any(char in line for line in shown for char in "\x1b\r\u202e\x9b")


def test_text_from_clients_is_not_markup(capsys):
    write(Table(columns=("job",), rows=[("[red]x[/red]",)]))
    assert "[red]x[/red]" in capsys.readouterr().out


def test_json_keeps_hostile_text_exact_and_escaped(capsys):
    write(Table(columns=("job",), rows=[("\x1b[2J",)]), Format.json)
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert json.loads(out) == [{"job": "\x1b[2J"}]


def test_line_breaks_stay_in_messages():
    assert printable("first\nsecond\x07") == "first\nsecond\ufffd"
