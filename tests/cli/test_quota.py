"""`byline quota`: what workers kept of the providers' limits, for people, scripts and a status line."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest
from typer.testing import CliRunner

from byline.assembly.data_dir import open_data_dir
from byline.cli.app import app
from byline.gateway.quota import CredentialQuota
from byline.quota.reading import read_quota
from byline.settings import load

run = CliRunner()
UNIFIED = "anthropic-ratelimit-unified-"
NOW = int(time.time())
IN_FOUR_HOURS, IN_TWO_DAYS = NOW + 4 * 3600, NOW + 2 * 86_400


@pytest.fixture(autouse=True)
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("byline.cli.report_table.UNWRAPPED_WIDTH", 80)
    return tmp_path


def kept(headers: dict[str, str], provider: str = "anthropic", age_s: float = 30.0) -> CredentialQuota:
    return CredentialQuota(provider, "default", read_quota(headers, now=NOW - age_s))


def subscription(status: str = "allowed", used: str = "0.5") -> CredentialQuota:
    return kept({
        f"{UNIFIED}status": status,
        f"{UNIFIED}representative-claim": "five_hour",
        f"{UNIFIED}5h-status": status, f"{UNIFIED}5h-utilization": used, f"{UNIFIED}5h-reset": str(IN_FOUR_HOURS),
        f"{UNIFIED}7d-status": "allowed", f"{UNIFIED}7d-utilization": "0.2", f"{UNIFIED}7d-reset": str(IN_TWO_DAYS),
    })  # fmt: skip


def buckets() -> CredentialQuota:
    return kept(
        {"x-ratelimit-limit-tokens": "150000000", "x-ratelimit-remaining-tokens": "149984000",
         "x-ratelimit-reset-tokens": "6m0s"},
        "openai",
    )  # fmt: skip


def workers_keep(*found: CredentialQuota, worker: int = 0) -> None:
    status = open_data_dir(load(None, {})).status
    status.mkdir(exist_ok=True)
    (status / f"quota-worker{worker}.json").write_bytes(msgspec.json.encode(found))


def answer(*arguments: str) -> str:
    result = run.invoke(app, ["quota", *arguments])
    assert result.exit_code == 0, result.output
    return result.stdout


def objects() -> list[dict[str, Any]]:
    return json.loads(answer("--format", "json"))


def test_json_and_csv_have_each_window_exactly_in_utc() -> None:
    workers_keep(subscription(used="0.123456"))
    five_hour, seven_day = objects()
    assert five_hour == {
        "provider": "anthropic", "credential": "default", "window": "five_hour", "status": "allowed",
        "utilization": 0.123456, "remaining": None, "limit": None,
        "resets_at": datetime.fromtimestamp(IN_FOUR_HOURS, UTC).isoformat().replace("+00:00", "Z"),
        "observed_at": datetime.fromtimestamp(NOW - 30, UTC).isoformat().replace("+00:00", "Z"),
    }  # fmt: skip
    assert seven_day["window"] == "seven_day"
    rows = list(csv.DictReader(io.StringIO(answer("--format", "csv"))))
    assert [row["utilization"] for row in rows] == ["0.123456", "0.2"]


def test_the_newest_of_each_credential_counts_whichever_worker_heard_it() -> None:
    workers_keep(subscription(used="0.9"), worker=1)
    old = kept({f"{UNIFIED}5h-utilization": "0.1", f"{UNIFIED}5h-reset": str(IN_FOUR_HOURS)}, age_s=600)
    workers_keep(old, worker=0)
    assert [row["utilization"] for row in objects()] == [0.9, 0.2]


def test_a_window_that_has_opened_again_is_not_shown() -> None:
    workers_keep(kept({f"{UNIFIED}5h-utilization": "0.9", f"{UNIFIED}5h-reset": str(NOW - 10)}, age_s=600))
    assert objects() == []
    shown = run.invoke(app, ["quota"])
    assert "Every window the providers spoke of has opened again" in shown.stderr


def test_the_table_fits_eighty_columns_with_bars_and_the_zone() -> None:
    workers_keep(subscription("allowed_warning", "0.95"), buckets())
    result = run.invoke(app, ["quota", "--tz", "America/Los_Angeles"])
    lines = result.stdout.splitlines()
    assert max(map(len, lines)) <= 80
    at = datetime.fromtimestamp(IN_FOUR_HOURS, ZoneInfo("America/Los_Angeles"))
    assert f"resets ({datetime.now(at.tzinfo):%Z})" in lines[0]
    (five_hour,) = [line for line in lines if "five_hour" in line]
    for part in ("anthropic", "█████░ 95 %", "warning", f"{at:%b %d %H:%M}"):
        assert part in five_hour
    assert "Left out for want of width: as of" in result.stderr


def test_a_wide_table_says_what_is_left_and_how_old_that_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("byline.cli.report_table.UNWRAPPED_WIDTH", 200)
    workers_keep(buckets())
    shown = answer("--tz", "UTC")
    assert "149,984,000 of 150,000,000" in shown
    assert re.search(r"\d (s|min|h) ago", shown)


def test_a_limit_that_is_near_is_said_in_words_in_the_zone_asked_for() -> None:
    workers_keep(subscription("allowed_warning", "0.95"))
    said = run.invoke(app, ["quota", "--tz", "Asia/Tokyo"]).stderr
    assert "anthropic default: You have used 95 % of your 5-hour limit" in said
    assert "(JST)" in said


def test_nothing_known_is_said_so_and_no_error() -> None:
    workers_keep()
    result = run.invoke(app, ["quota", "--format", "table"])
    assert result.exit_code == 0
    assert "No provider has said anything of its limits yet" in result.stderr
    assert json.loads(run.invoke(app, ["quota", "--format", "json"]).stdout) == []


def test_a_kept_file_that_cannot_be_read_is_passed_over() -> None:
    workers_keep(subscription())
    open_data_dir(load(None, {})).status.joinpath("quota-worker7.json").write_text("{half")
    assert len(objects()) == 2


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--tz", "Mars/Olympus"), "'Mars/Olympus' is no time zone"),
        (("--watch", "--format", "json"), "--watch shows the table: leave out --statusline and --format"),
        (("--watch", "--statusline"), "--watch shows the table"),
        (("--format", "xml"), "'xml' is not one of"),
    ],
)
def test_what_cannot_be_meant_is_refused(arguments: tuple[str, ...], says: str) -> None:
    result = run.invoke(app, ["quota", *arguments])
    assert result.exit_code == 2
    assert says in " ".join(result.stderr.replace("│", " ").split())


def statusline(given: str) -> str:
    result = run.invoke(app, ["quota", "--statusline", "--tz", "UTC"], input=given)
    assert result.exit_code == 0, result.output
    return result.stdout.strip()


def test_the_status_line_has_the_sessions_own_limits_where_it_knows_them() -> None:
    workers_keep(subscription())
    session = {
        "model": {"display_name": "Opus"},
        "rate_limits": {"five_hour": {"used_percentage": 78, "resets_at": IN_FOUR_HOURS}},
    }
    shown = statusline(json.dumps(session))
    assert shown.startswith("Opus · 5h ██████░░ 78 % until ")
    assert shown.endswith("(UTC)")
    assert "7d" not in shown


@pytest.mark.parametrize(
    "given", ["", "no json", "[]", '{"rate_limits": 3}', '{"model": {"display_name": 7}}']
)
def test_the_status_line_falls_back_to_the_gateways_credentials(given: str) -> None:
    workers_keep(subscription())
    shown = statusline(given)
    assert "5h ████░░░░ 50 %" in shown
    assert "7d █░░░░░░░ 20 %" in shown


def test_the_status_line_holds_no_control_characters() -> None:
    assert "\x1b" not in statusline(json.dumps({"model": {"display_name": "\x1b[31mOpus"}}))


def test_watch_shows_what_changes_until_it_is_interrupted(directory: Path) -> None:
    workers_keep(subscription(used="0.5"))
    leader, follower = os.openpty()
    command = [sys.executable, "-m", "byline.cli", "quota", "--watch"]
    with subprocess.Popen(command, cwd=directory, stdout=follower, stderr=follower) as process:
        os.close(follower)
        read_until(leader, "50 %")
        workers_keep(subscription(used="0.75"))
        read_until(leader, "75 %")
        process.send_signal(2)
        assert process.wait(20) == 0
    os.close(leader)


def read_until(terminal: int, text: str) -> None:
    seen = ""
    while text not in seen:
        seen += os.read(terminal, 4096).decode(errors="replace")
