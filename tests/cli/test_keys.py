"""`byline keys`, run as people and scripts run it."""

from __future__ import annotations

import csv
import io
import json
import re
import sqlite3
import threading
from datetime import UTC, datetime, timedelta

import pytest
from typer.testing import CliRunner, Result

from byline.cli.app import app
from byline.control.directory import KeyDirectory


@pytest.fixture
def byline(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BYLINE_DATA_DIR", str(tmp_path / "data"))

    def run(*arguments: str) -> Result:
        return CliRunner().invoke(app, list(arguments))

    return run


@pytest.fixture
def create(byline):
    def create(*arguments: str) -> dict[str, str | None]:
        result = byline("keys", "create", *arguments, "--format", "json")
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout)

    return create


@pytest.fixture
def listed(byline):
    def listed() -> list[dict]:
        return json.loads(byline("keys", "list", "--format", "json").stdout)

    return listed


def test_create_prints_one_object_and_nothing_else(create):
    made = create(
        "--user",
        "alice",
        "--email",
        "a@example.com",
        "--team",
        "core",
        "--job",
        "nightly",
        "--kind",
        "service",
    )
    columns = ["key_id", "key", "user", "email", "team", "job", "kind", "may_claim", "expires_at"]
    assert list(made) == columns
    assert re.fullmatch(rf"byl_{made['key_id']}_[A-Za-z0-9_-]{{43}}", made["key"])
    assert [*made.values()][2:] == ["alice", "a@example.com", "core", "nightly", "service", "none", None]


def test_what_is_not_given_is_null_and_a_person(create):
    made = create("--user", "alice")
    assert [*made.values()][2:] == ["alice", None, None, None, "person", "job", None]


def test_create_tells_programs_too_what_the_key_may_claim_and_when_it_ends(create, listed):
    made = create("--user", "alice", "--may-claim", "job,user", "--expires", "90d")
    [row] = listed()
    assert made["expires_at"]
    assert [made[name] for name in ("may_claim", "expires_at")] == ["job,user", row["expires_at"]]


def test_the_table_shows_the_key_whole_and_says_it_is_the_only_time(byline):
    result = byline("keys", "create", "--user", "alice")
    assert re.search(r"byl_[a-z2-7]{12}_[A-Za-z0-9_-]{43}", result.stdout)
    assert "only time" in result.stderr


@pytest.mark.parametrize("rotated", [False, True])
def test_the_key_stands_on_a_line_of_its_own_above_what_it_may_do(byline, create, rotated):
    options = ("--user", "alice", "--may-claim", "job,user", "--expires", "90d")
    if rotated:
        result = byline("keys", "rotate", create(*options)["key_id"])
    else:
        result = byline("keys", "create", *options)
    lines = result.stdout.splitlines()
    (key,) = (line for line in lines if "byl_" in line)
    assert re.fullmatch(r"byl_[a-z2-7]{12}_[A-Za-z0-9_-]{43}", key)
    fields = dict(line.split(maxsplit=1) for line in lines[lines.index(key) + 1 :] if len(line.split()) > 1)
    assert fields["user"] == "alice"
    assert fields["may_claim"] == "job,user"
    assert fields["expires_at"].startswith(f"{datetime.now(UTC) + timedelta(days=90):%Y-%m}")


def test_a_key_without_end_says_so(byline):
    assert re.search(r"expires_at +never", byline("keys", "create", "--user", "alice").stdout)


def test_list_never_shows_a_key(create, byline):
    made = create("--user", "alice")
    for format_ in ("table", "json", "csv"):
        output = byline("keys", "list", "--format", format_).output
        assert made["key_id"] in output
        assert made["key"] not in output
        assert made["key"][-43:] not in output


def test_list_shows_everything_as_json_and_csv(create, byline, listed, tmp_path):
    made = create("--user", "alice", "--may-claim", "job,user", "--expires", "90d")
    directory = KeyDirectory(tmp_path / "data" / "control.sqlite3", max_stale_s=300)
    directory.record_use(made["key_id"], 1_800_000_000.0)
    directory.flush_uses()
    [row] = listed()
    assert row["last_used_at"] == "2027-01-15T08:00:00Z"
    lifetime = datetime.fromisoformat(row["expires_at"]) - datetime.fromisoformat(row["created_at"])
    assert abs(lifetime - timedelta(days=90)) < timedelta(seconds=1)
    assert (row["status"], row["may_claim"], row["replaced_by"]) == ("active", "job,user", None)
    [csv_row] = csv.DictReader(io.StringIO(byline("keys", "list", "--format", "csv").stdout))
    assert csv_row == {name: "" if value is None else value for name, value in row.items()}


@pytest.mark.parametrize(
    ("arguments", "may_claim"),
    [
        ([], "job"),
        (["--may-claim", "job"], "job"),
        (["--may-claim", "job,user"], "job,user"),
        (["--may-claim", "user"], "job,user"),
        (["--may-claim", "none"], "none"),
        (["--job", "nightly"], "none"),
        (["--job", "nightly", "--may-claim", "user"], "user"),
    ],
)
def test_what_a_key_may_claim(create, listed, arguments, may_claim):
    create("--user", "alice", *arguments)
    assert [row["may_claim"] for row in listed()] == [may_claim]


def test_a_later_key_updates_the_user_on_the_earlier_ones(create, listed):
    create("--user", "alice", "--team", "old", "--email", "old@example.com")
    create("--user", "alice", "--team", "new")
    assert [(row["team"], row["email"]) for row in listed()] == [("new", "old@example.com")] * 2


def test_revoke_ends_a_key(create, byline, listed):
    made = create("--user", "alice")
    [row] = json.loads(byline("keys", "revoke", made["key_id"], "--format", "json").stdout)
    assert (row["key_id"], row["status"]) == (made["key_id"], "revoked")
    assert [row["status"] for row in listed()] == ["revoked"]


def test_rotate_prints_a_new_key_of_the_same_user_and_job(create, byline, listed):
    old = create("--user", "alice", "--job", "nightly")
    new = json.loads(byline("keys", "rotate", old["key_id"], "--grace", "1h", "--format", "json").stdout)
    assert (new["user"], new["job"]) == ("alice", "nightly")
    assert new["key"] != old["key"]
    rows = {row["key_id"]: row for row in listed()}
    assert rows[old["key_id"]]["replaced_by"] == new["key_id"]
    assert (rows[old["key_id"]]["status"], rows[new["key_id"]]["status"]) == ("active", "active")
    assert byline("keys", "rotate", old["key_id"]).exit_code == 1


@pytest.mark.parametrize(
    ("arguments", "exit_code", "message"),
    [
        (["create"], 2, "--user"),
        (["create", "--user", "a", "--may-claim", "all"], 2, "`job,user` or `none`"),
        (["create", "--user", "a", "--expires", "soon"], 2, "not a span"),
        (["create", "--user", "a", "--expires", "0d"], 2, "no time at all"),
        (["create", "--user", "a", "--kind", "robot"], 2, "robot"),
        (["create", "--user", ""], 1, "must not be empty"),
        (["create", "--user", "a", "--email", "a"], 1, "not an email address"),
        (["revoke", "nope"], 1, "There is no key 'nope'"),
        (["rotate", "nope"], 1, "There is no key 'nope'"),
    ],
)
def test_what_cannot_be_done_fails_with_the_remedy(byline, arguments, exit_code, message):
    result = byline("keys", *arguments)
    assert (result.exit_code, result.stdout) == (exit_code, "")
    assert message in " ".join(result.stderr.replace("│", "").split())


def test_a_damaged_database_is_an_error_that_names_it(byline, tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "control.sqlite3").write_bytes(b"no database at all" * 500)
    result = byline("keys", "list")
    assert result.exit_code == 1
    assert "control.sqlite3 is damaged" in result.stderr


def test_reading_waits_for_no_other_process_and_writing_until_it_has_ended(create, byline, tmp_path):
    create("--user", "alice")
    holder = sqlite3.connect(
        tmp_path / "data" / "control.sqlite3", isolation_level=None, check_same_thread=False
    )
    holder.execute("BEGIN IMMEDIATE")
    assert byline("keys", "list").exit_code == 0
    threading.Timer(0.2, holder.execute, ["COMMIT"]).start()
    assert create("--user", "bob")["user"] == "bob"
    holder.close()


def test_the_database_is_where_the_config_file_says(create, byline, tmp_path, monkeypatch):
    monkeypatch.delenv("BYLINE_DATA_DIR")
    config = tmp_path / "other.toml"
    config.write_text('data_dir = "elsewhere"\n')
    create("--user", "alice", "--config", str(config))
    assert (tmp_path / "elsewhere" / "control.sqlite3").stat().st_mode & 0o777 == 0o600
