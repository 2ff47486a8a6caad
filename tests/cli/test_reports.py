"""The reporting commands over a small ledger, as people and scripts see them."""

from __future__ import annotations

import csv
import errno
import io
import json
import os
import re
import sqlite3
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import msgspec
import pytest
from typer.testing import CliRunner

from byline.assembly.data_dir import open_data_dir
from byline.assembly.ledger import open_store
from byline.cli.app import app
from byline.control.database import open_control
from byline.control.jobs import set_job
from byline.settings import Settings, load
from byline.usage.record import UsageRecord

run = CliRunner()
NOW = datetime.now(UTC).replace(microsecond=0)


def row(number: int, minutes_ago: float, **fields: Any) -> UsageRecord:
    values: dict[str, Any] = {
        "request_id": f"r{number}", "exchange_id": f"x{number}", "started_at": NOW - timedelta(minutes=minutes_ago),
        "provider": "anthropic", "api": "messages", "outcome": "ok", "model_requested": "claude-x",
    }  # fmt: skip
    return UsageRecord(**{**values, **fields})


def first_rows() -> list[UsageRecord]:
    return [
        row(1, 50, user="ann", job="nightly-1", input_tokens=1_234_567, output_tokens=89, cost_usd=Decimal("12.345678")),
        row(2, 10, user="ann", job="nightly-1", input_tokens=10, cost_usd=Decimal("0.000001"),
            quota=msgspec.Raw(b'{"windows":{"5h":{"utilization":0.5}}}')),
        row(3, 5, user="bob", input_tokens=7, identifier="act_bob", model_reported="claude-x-1"),
        *(row(10 + n, 5, user="ann", job="nightly-1", outcome="upstream_error", http_status=429,
              error_type="rate_limit_error") for n in range(5)),
        row(4, 1, user="[bold]mallory\x1b[31m", outcome="rejected", cost_status="unknown_model"),
    ]  # fmt: skip


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    # Not the time of collection: by now that may be many minutes ago, and some of these are counted.
    monkeypatch.setattr(sys.modules[__name__], "NOW", datetime.now(UTC).replace(microsecond=0))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    settings = load(None, {})
    data_dir = open_data_dir(settings)
    store = open_store(settings, data_dir)
    store.insert_usage(first_rows())
    store.close()
    with open_control(data_dir.control) as control:
        set_job(control, "nightly-*", owner="carol")
    return settings


pytestmark = pytest.mark.usefixtures("settings")


def answer(*arguments: str) -> str:
    result = run.invoke(app, [*arguments])
    assert result.exit_code == 0, result.stderr
    return result.stdout


def objects(*arguments: str) -> list[dict[str, Any]]:
    return json.loads(answer(*arguments, "--format", "json"))


def failure(*arguments: str, code: int) -> str:
    result = run.invoke(app, [*arguments])
    assert (result.exit_code, result.stdout) == (code, "")
    return result.stderr


def test_usage_as_json_is_exact() -> None:
    assert objects("usage", "--by", "user,job", "--since", "2h")[0] == {
        "user": "ann",
        "job": "nightly-1",
        "requests": 7,
        "rejected": 0,
        "input_tokens": 1_234_577,
        "output_tokens": 89,
        "cache_read_tokens": None,
        "cache_write_tokens": None,
        "cost_usd": "12.345679",
    }


def test_usage_as_csv_has_the_same_columns() -> None:
    lines = list(
        csv.DictReader(io.StringIO(answer("usage", "--by", "user", "--since", "2h", "--format", "csv")))
    )
    assert (lines[0]["user"], lines[0]["input_tokens"], lines[0]["cache_read_tokens"]) == (
        "ann",
        "1234577",
        "",
    )
    assert lines[0]["cost_usd"] == "12.345679"


def test_usage_as_table_groups_digits_and_adds_up() -> None:
    shown = answer("usage", "--by", "user", "--since", "2h")
    assert "1,234,577" in shown
    assert "$12.35" in shown
    total = shown.splitlines()[-1].split()
    assert total == ["total", "8", "1", "1,234,584", "89", "-", "-", "$12.35"]


def test_totals_include_the_groups_that_are_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("byline.cli.usage._SHOWN", 1)
    result = run.invoke(app, ["usage", "--by", "user", "--since", "2h"])
    assert result.stdout.splitlines()[-1].split()[1] == "8"
    assert "2 more groups" in result.stderr


@pytest.mark.parametrize("limit", [1, 2])
def test_the_total_is_that_of_all_groups_where_the_limit_leaves_some_out(limit: int) -> None:
    result = run.invoke(app, ["usage", "--by", "user", "--since", "2h", "--limit", str(limit)])
    total = result.stdout.splitlines()[-1].split()
    assert total == ["total", "8", "1", "1,234,584", "89", "-", "-", "$12.35"]
    assert f"Cut at {limit} by --limit; the total is that of all groups" in result.stderr
    assert "mallory" not in result.stdout


def test_a_limit_that_leaves_nobody_out_is_not_spoken_of() -> None:
    result = run.invoke(app, ["usage", "--by", "user", "--since", "2h", "--limit", "3"])
    assert "mallory" in result.stdout
    assert "Cut at" not in result.stderr


def test_as_many_groups_are_shown_as_the_limit_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("byline.cli.usage._SHOWN", 1)
    result = run.invoke(app, ["usage", "--by", "user", "--since", "2h", "--limit", "2"])
    assert "bob" in result.stdout
    assert "Cut at 2 by --limit" in result.stderr


def test_text_from_clients_is_no_markup_and_no_terminal_command() -> None:
    shown = answer("usage", "--by", "user", "--since", "2h")
    assert "[bold]mallory" in shown
    assert "\x1b" not in shown


def test_requests_without_a_price_are_said_to_be_missing() -> None:
    result = run.invoke(app, ["usage", "--since", "2h"])
    assert "no known price" not in result.stderr
    unpriced = run.invoke(app, ["usage", "--since", "2h", "--where", "outcome=rejected"])
    assert "no known price" not in unpriced.stderr


def test_one_request_without_a_price_is_counted_as_one(settings: Settings) -> None:
    add(settings, [row(300, 3, cost_status="unknown_model")])
    result = run.invoke(app, ["usage", "--since", "2h"])
    assert "1 request has no known price" in result.stderr


def test_an_empty_answer_says_so_on_stderr_and_stays_empty_on_stdout() -> None:
    result = run.invoke(app, ["usage", "--since", "1s"])
    assert "No requests" in result.stderr
    assert objects("usage", "--since", "1s") == []
    assert objects("requests", "--since", "1s") == []


def test_requests_as_json_nest_json_columns() -> None:
    (found,) = objects("requests", "--where", "request_id=r2")
    assert found["quota"] == {"windows": {"5h": {"utilization": 0.5}}}
    assert found["cost_usd"] == "0.000001"
    assert found["started_at"] == (NOW - timedelta(minutes=10)).isoformat().replace("+00:00", "Z")
    assert found["output_tokens"] is None


@pytest.mark.parametrize("how", ["table", "json", "csv"])
def test_requests_beyond_the_limit_are_spoken_of_on_stderr(how: str) -> None:
    said = [
        run.invoke(app, ["requests", "--since", "2h", "--limit", limit, "--format", how])
        for limit in ("8", "9")
    ]
    assert [len(re.findall(r"\br\d+\b", result.stdout)) for result in said] == [8, 9]
    assert "Cut at the newest 8: --limit shows more" in said[0].stderr
    assert said[1].stderr == ""


def test_requests_are_found_by_what_a_provider_calls_a_user() -> None:
    assert [found["user"] for found in objects("requests", "--identifier", "act_bob")] == ["bob"]
    assert "claude-x-1" in answer("requests", "--identifier", "act_bob")


def add(settings: Settings, rows: list[UsageRecord]) -> None:
    store = open_store(settings, open_data_dir(settings))
    store.insert_usage(rows)
    store.close()


def test_an_incident_names_driver_and_owner_first(settings: Settings) -> None:
    more = {"user": "ann", "job": "nightly-1", "outcome": "upstream_error", "http_status": 429}
    add(settings, [row(100 + number, 4, **more) for number in range(4)])
    shown = answer("incident", "--since", "30m").splitlines()
    assert "against the 30 minutes before" in shown[0]
    assert shown[2] == "user ann, job nightly-1  ->  ping carol, who owns the job"
    assert shown[3].split()[:2] == ["429s", "9"]


def test_an_incident_says_which_figures_are_the_drivers_and_which_are_everybodys(settings: Settings) -> None:
    add(settings, [row(100 + number, 4, user="ann", job="nightly-1") for number in range(20)])
    add(settings, [row(200 + number, 4, user="bob") for number in range(9)])
    add(settings, [row(300, 40, user="bob")])
    shown = " ".join(answer("incident", "--since", "30m").split())
    assert "requests 26 before 1: 74% of the growth of all (36, before 2, 18.0 times)" in shown


@pytest.mark.parametrize(
    ("until", "heading"),
    [
        ("2026-03-10T12:30Z", "2026-03-10 12:00 to 12:30 UTC, against the 30 minutes before"),
        ("2026-03-11T12:00Z", "2026-03-10 12:00 to 2026-03-11 12:00 UTC, against the 24 hours before"),
        ("2026-03-17T12:00Z", "2026-03-10 12:00 to 2026-03-17 12:00 UTC, against the 7 days before"),
    ],
)
def test_an_incident_says_which_times_it_compares(until: str, heading: str) -> None:
    shown = answer("incident", "--since", "2026-03-10T12:00Z", "--until", until)
    assert shown.startswith(f"{heading}\n")


def test_an_incident_names_nobody_for_a_handful_of_requests() -> None:
    shown = answer("incident", "--since", "30m").splitlines()
    assert shown[2] == "Too few requests to name anybody for:"
    assert shown[3].split()[:2] == ["429s", "5"]
    assert "ping" not in "".join(shown)


def test_an_incident_of_refusals_alone_is_shown() -> None:
    shown = answer("incident", "--since", "30m", "--where", "outcome=rejected")
    assert "No requests" not in shown
    assert "mallory" in shown


def test_an_incident_as_json_is_one_array() -> None:
    first, *_ = objects("incident", "--since", "30m")
    assert {name: first[name] for name in ("user", "job", "owner", "throttled", "throttled_before")} == {
        "user": "ann", "job": "nightly-1", "owner": "carol", "throttled": 5, "throttled_before": 0,
    }  # fmt: skip


def test_a_quiet_time_is_called_so() -> None:
    shown = answer("incident", "--since", "1s")
    assert "No requests in either window" in shown
    assert "byline doctor" in shown
    assert "429s" not in shown
    assert "Nothing grew" in answer("incident", "--since", "30m", "--where", "user=bob")


def test_top_shows_one_look_when_asked() -> None:
    shown = answer("top", "--once", "--since", "15m")
    assert "nightly-1" in shown
    assert "0.4" in shown  # 6 requests in 15 minutes
    assert {found["user"] for found in objects("top", "--since", "15m")} >= {"ann", "bob"}


def test_the_total_of_top_is_that_of_all_groups_too() -> None:
    result = run.invoke(app, ["top", "--once", "--limit", "1"])
    assert "bob" not in result.stdout
    assert result.stdout.splitlines()[-1].split()[:3] == ["total", "7", "0.5"]
    assert "Cut at 1 by --limit; the total is that of all groups" in result.stderr


def test_top_ends_after_one_look_where_stdout_is_no_terminal() -> None:
    command = [sys.executable, "-m", "byline.cli", "top"]
    ended = subprocess.run(command, capture_output=True, check=False, text=True, timeout=30)
    assert (ended.returncode, ended.stdout.count("nightly-1")) == (0, 1)


def test_top_fits_eighty_columns_and_says_the_zone(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("byline.cli.report_table.UNWRAPPED_WIDTH", 80)
    big = {"user": "ada.lovelace@example.com", "job": "nightly-reconciliation-of-everything"}
    add(settings, [row(200, 1, input_tokens=1_234_567_890, cost_usd=Decimal("12345.67"), **big)])
    result = run.invoke(app, ["top", "--once", "--since", "15m", "--tz", "America/Los_Angeles"])
    lines = result.stdout.splitlines()
    assert max(map(len, lines)) <= 80
    assert re.match(r"\d\d:\d\d:\d\d P[DS]T, the last 15m", lines[0])
    assert "1.23 G" in result.stdout
    assert "$12,345.67" in result.stdout
    assert "Left out for want of width: " in result.stderr


def test_sql_answers_a_select() -> None:
    assert objects("sql", "SELECT user, count(*) AS n FROM api_usage WHERE job IS NOT NULL GROUP BY ALL") == [
        {"user": "ann", "n": 7}
    ]


def test_sql_names_columns_as_the_query_does() -> None:
    shown = answer("sql", "SELECT user, http_status, cost_usd FROM api_usage LIMIT 1")
    assert shown.splitlines()[0].split() == ["user", "http_status", "cost_usd"]


def test_sql_shows_dollars_in_columns_of_cost_alone() -> None:
    shown = answer(
        "sql", "SELECT 2.5*3, -1234.50 AS change, max(cost_usd) AS top_usd, max(cost_usd) FROM api_usage"
    )
    assert shown.splitlines()[-1].split() == ["7.5", "-1,234.50", "$12.35", "$12.35"]


def test_sql_reads_stdin() -> None:
    result = run.invoke(app, ["sql", "-", "--format", "csv"], input="SELECT 1 AS one")
    assert result.stdout == "one\n1\n"


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["sql", "DELETE FROM api_usage"], 1, "SELECT"),
        (["sql", ""], 1, "the query is empty: write one such as SELECT"),
        (["sql", " \n;"], 1, "the query is empty: write one such as SELECT"),
        (["sql", "\n-- nothing yet"], 1, "the query is empty: write one such as SELECT"),
        (["sql", "/* nothing */ ;"], 1, "the query is empty: write one such as SELECT"),
        (["sql", "-"], 1, "the query is empty: write one such as SELECT"),
        (["sql", "SELECT * FROM read_csv('/etc/passwd')"], 1, "not allowed"),
        (["usage", "--by", "colour"], 2, "--by: can't group by 'colour': choose among user, team"),
        (["usage", "--by", "user,user"], 2, "--by: 'user,user' names a group twice"),
        (["usage", "--tz", "Mars"], 2, "--tz: 'Mars'"),
        (["usage", "--where", "user"], 2, "--where: 'user' is not COLUMN=VALUE"),
        (["usage", "--until", "soon"], 2, "--until: 'soon' is neither a span (30m, 24h, 7d)"),
        (["incident", "--since", "1h", "--until", "2h"], 2, "--until 2h is not after --since 1h"),
        (["top", "--since", "soon", "--once"], 2, "--since: 'soon' is not a span"),
        (["top", "--since", "0m", "--once"], 2, "--since: '0m' is no time at all"),
        (["usage", "--where", "colour=red"], 1, "colour"),
        (["usage", "--since", "soon"], 2, "--since: 'soon' is neither a span (30m, 24h, 7d) nor a time"),
        (["export", "rows.txt"], 2, ".parquet"),
        (["export", "-", "--format", "csv"], 2, "rows go to a file: name one"),
        (["export", "nowhere/rows.csv"], 1, "nowhere"),
    ],
)
def test_what_is_wrong_is_named(arguments: list[str], code: int, message: str) -> None:
    shown = failure(*arguments, code=code).translate(str.maketrans("│\n", "  "))
    assert message in " ".join(shown.split())


def test_an_export_holds_every_row_and_column() -> None:
    answer("export", "rows.parquet", "--since", "2h")
    answer("export", "rows.csv", "--since", "2h", "--where", "user=ann")
    with duckdb.connect() as other:
        read = other.execute("SELECT count(*), sum(cost_usd) FROM 'rows.parquet'").fetchone()
        assert read == (len(first_rows()), Decimal("12.345679000000"))
    lines = list(csv.DictReader(Path("rows.csv").read_text().splitlines()))
    assert (lines[0]["cost_usd"], lines[0]["ended_at"]) == ("12.345678", "")
    assert datetime.fromisoformat(lines[0]["started_at"]) == first_rows()[0].started_at


def test_an_export_replaces_nothing_unasked() -> None:
    Path("rows.csv").write_text("mine")
    assert "exists already" in failure("export", "rows.csv", code=1)
    assert Path("rows.csv").read_text() == "mine"
    answer("export", "rows.csv", "--force")


def test_a_backup_can_be_put_in_place_and_used(settings: Settings) -> None:
    answer("backup", "copies")
    data_dir = open_data_dir(settings)
    for file in (data_dir.ledger, data_dir.control):
        file.unlink()
        (Path("copies") / file.name).rename(file)
    assert objects("usage", "--by", "", "--since", "2h")[0]["requests"] == 8
    assert objects("incident", "--since", "30m")[0]["owner"] == "carol"
    with sqlite3.connect(data_dir.control) as control:
        assert control.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_a_backup_goes_into_an_empty_directory_only() -> None:
    Path("copies").mkdir()
    Path("copies/mine").touch()
    assert "not empty" in failure("backup", "copies", code=1)


def test_a_forgotten_user_leaves_sums_behind() -> None:
    before = objects("usage", "--by", "team", "--since", "2h")
    result = run.invoke(app, ["forget", "ann", "--yes"])
    assert result.exit_code == 0
    assert "7 rows now say forgotten-" in result.stderr
    assert objects("usage", "--by", "team", "--since", "2h") == before
    assert "ann" not in answer("requests", "--since", "2h", "--format", "json", "--limit", "100")


def test_who_comes_back_with_an_older_backup_is_forgotten_by_running_it_again(settings: Settings) -> None:
    answer("backup", "copies")
    said = run.invoke(app, ["forget", "ann", "--yes"]).stderr
    assert "Backups made before still have the name: run this again after a restore" in said
    data_dir = open_data_dir(settings)
    data_dir.ledger.unlink()
    (Path("copies") / data_dir.ledger.name).rename(data_dir.ledger)
    assert objects("usage", "--where", "user=ann", "--since", "2h")[0]["requests"] == 7
    assert run.invoke(app, ["forget", "ann", "--yes"]).exit_code == 0
    assert objects("usage", "--where", "user=ann", "--since", "2h") == []


def test_forgetting_asks_first() -> None:
    assert run.invoke(app, ["forget", "ann"], input="n\n").exit_code == 1
    assert objects("usage", "--where", "user=ann", "--since", "2h")[0]["requests"] == 7
    assert run.invoke(app, ["forget", "ann"], input="y\n").exit_code == 0
    assert objects("usage", "--where", "user=ann", "--since", "2h") == []


@pytest.mark.parametrize("arguments", [["nobody"], ["nobody", "--yes"], ["o'hara"]])
def test_who_is_in_no_row_is_said_before_anything_is_asked(arguments: list[str]) -> None:
    said = failure("forget", *arguments, code=1)
    assert f"no row of a user {arguments[0]!r}" in said
    assert "Replace" not in said


def test_who_is_only_named_by_events_or_claims_is_forgotten_too(settings: Settings) -> None:
    add(settings, [row(200, 3, claimed_user="dave")])
    store = open_store(settings, open_data_dir(settings))
    store.insert_events([{"event_id": "e1", "event_name": "x", "user": "erin", "occurred_at": NOW}])
    store.close()
    for user in ("dave", "erin"):
        assert run.invoke(app, ["forget", user, "--yes"]).exit_code == 0
        assert f"no row of a user '{user}'" in failure("forget", user, code=1)


@pytest.fixture
def read_only(tmp_path: Path) -> Path:
    """A place that even root can't write to."""
    return Path("/proc/self/byline")


def test_where_no_file_can_be_made_is_one_line(read_only: Path) -> None:
    exported = failure("export", f"{read_only.parent}/rows.csv", code=1)
    assert exported.startswith(f"byline: can't write {read_only.parent}/rows.csv: ")
    copied = failure("backup", str(read_only), code=1)
    assert copied.startswith(f"byline: can't write {read_only}: ")
    assert (exported.count("\n"), copied.count("\n")) == (1, 1)


def test_an_export_that_could_not_be_moved_leaves_nothing_behind(settings: Settings) -> None:
    failure("export", "/proc/self/rows.csv", code=1)
    assert list(open_data_dir(settings).ledger.with_suffix(".outbox").iterdir()) == []


def test_a_backup_that_fails_midway_can_be_tried_again(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_space(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr("byline.stores.duckdb.copies._copy", no_space)
        said = failure("backup", "copies", code=1)
    assert "ledger.duckdb: No space left on device" in said
    assert list(Path("copies").iterdir()) == []
    answer("backup", "copies")
