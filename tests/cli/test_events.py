"""`byline events`, as people and scripts see it."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from byline.assembly.data_dir import open_data_dir
from byline.assembly.ledger import open_store
from byline.cli.app import app
from byline.settings import load

run = CliRunner()
NOW = datetime.now(UTC).replace(microsecond=0)


def event(number: int, minutes_ago: float, **columns: Any) -> dict[str, Any]:
    given = {
        "event_id": f"e{number}",
        "event_name": "job_done",
        "occurred_at": NOW - timedelta(minutes=minutes_ago),
    }
    return {**given, "source": "client", "metadata": {"n": number}, **columns}


def first_events() -> list[dict[str, Any]]:
    return [
        event(1, 50, user="ada", job="nightly-1"),
        event(2, 20, user="o'hara", event_name="mail_sent", pii_email="ada@example.org"),
        event(3, 90),
    ]


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    # Not the time of collection: by now that may be many minutes ago, and some of these are counted.
    monkeypatch.setattr(sys.modules[__name__], "NOW", datetime.now(UTC).replace(microsecond=0))
    path = tmp_path / "byline.toml"
    path.write_text(f'data_dir = "{tmp_path / "data"}"\n[events]\npersonal = ["shoe"]\n')
    settings = load(path, {})
    store = open_store(settings, open_data_dir(settings))
    store.insert_events(first_events())
    store.close()
    return path


def rows(config: Path, *arguments: str) -> list[dict[str, Any]]:
    result = run.invoke(app, ["events", "query", "--config", str(config), "--format", "json", *arguments])
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_events_come_newest_first_with_metadata_as_an_object_and_no_personal_column(config):
    found = rows(config)
    assert [row["event_id"] for row in found] == ["e2", "e1"]
    assert found[1]["metadata"] == {"n": 1}
    assert found[1]["occurred_at"].endswith("Z")
    assert not [column for row in found for column in row if column.startswith("pii_")]


@pytest.mark.parametrize(
    ("arguments", "ids"),
    [
        (["--since", "2h"], ["e2", "e1", "e3"]), (["--since", "2h", "--until", "30m"], ["e1", "e3"]), (["--user", "o'hara"], ["e2"]),
        (["--name", "job_done"], ["e1"]), (["--job", "nightly-1"], ["e1"]), (["--limit", "1"], ["e2"]),
        (["--user", "x' OR '1'='1"], []), (["--program", "none"], []),
    ],
)  # fmt: skip
def test_events_are_chosen_by_column_and_time(config, arguments, ids):
    assert [row["event_id"] for row in rows(config, *arguments)] == ids


def test_events_beyond_the_limit_are_spoken_of_on_stderr(config):
    asked = ["events", "query", "--config", str(config), "--since", "2h", "--format", "json", "--limit"]
    one, three = (run.invoke(app, [*asked, limit]) for limit in ("1", "3"))
    assert [row["event_id"] for row in json.loads(one.stdout)] == ["e2"]
    assert "Cut at the newest 1: --limit shows more" in one.stderr
    assert (len(json.loads(three.stdout)), three.stderr) == (3, "")


def test_a_table_of_no_events_says_so(config):
    result = run.invoke(app, ["events", "query", "--config", str(config), "--user", "nobody"])
    assert result.exit_code == 0
    assert "No events" in result.output


def test_the_audit_shows_each_sink_what_it_would_receive(config):
    metadata, pii = (
        '{"shards": 12, "model": "claude-x"}',
        '{"email": "ada@example.org", "shoe": "forty-four", "hat": "fifty-eight"}',
    )
    result = run.invoke(
        app,
        [
            "events",
            "audit",
            "job_done",
            metadata,
            "--pii",
            pii,
            "--user",
            "zoe",
            "--config",
            str(config),
            "--format",
            "json",
        ],
    )
    assert result.exit_code == 0, result.output
    received = {each["sink"]: each for each in json.loads(result.stdout)}
    first = received.pop("first_party")["what"]
    assert (first["pii_email"], first["pii_shoe"], first["user"]) == ("ada@example.org", "forty-four", "zoe")
    assert "fifty-eight" not in json.dumps(first)
    assert first["metadata"] == {"shards": 12, "model": "claude-x"}
    assert not received["datadog"]["receives"]
    assert received["otlp"]["what"]["attributes"] == {"shards": 12, "model": "claude-x"}
    assert not [
        text
        for text in ("zoe", "example.org", "forty-four")
        if text in json.dumps([each["what"] for each in received.values()])
    ]
    assert "_PROTO_" not in json.dumps(received)


def test_the_audit_of_a_declared_event_shows_low_trust_sinks_a_bucket(config):
    result = run.invoke(
        app,
        [
            "events",
            "audit",
            "gateway_requests_refused",
            '{"kind": "malformed", "count": 3}',
            "--user",
            "ada",
            "--config",
            str(config),
        ],
    )
    assert result.exit_code == 0, result.output
    assert '"user_bucket": 8' in result.stdout


@pytest.mark.parametrize(
    "metadata", ['{"path": "/etc/passwd"}', '{"_PROTO_email": 1}', '{"nested": {"a": 1}}']
)
def test_the_audit_refuses_what_logging_would_refuse(config, metadata):
    result = run.invoke(app, ["events", "audit", "job_done", metadata, "--config", str(config)])
    assert result.exit_code == 1
    assert "/etc/passwd" not in result.output


def test_tail_prints_events_as_they_come_in_from_a_program(config):
    command = [
        sys.executable,
        "-m",
        "byline.cli",
        "events",
        "tail",
        "--interval",
        "0.2",
        "--config",
        str(config),
    ]
    text = """
import sys, byline
byline.identify(user="ada", job="nightly-2")
byline.log_event("job_started", {"shards": 12}, pii={"email": byline.i_verified_this_is_pii_tagged("ada@example.org")})
byline.attach_sink(byline.event_sink(program=byline.not_code_or_path("nightly"), data_dir=sys.argv[1]))
"""
    data_dir = load(config, {}).data_dir
    with subprocess.Popen(command, stdout=subprocess.PIPE) as tailing:
        assert tailing.stdout is not None
        subprocess.run([sys.executable, "-c", text, str(data_dir)], check=True, timeout=30)
        watchdog = threading.Timer(60, tailing.kill)
        watchdog.start()
        row = json.loads(tailing.stdout.readline() or "{}")
        watchdog.cancel()
        tailing.terminate()
    assert row, "tail ended or said nothing"
    assert (row["event_name"], row["user"], row["job"], row["program"]) == (
        "job_started",
        "ada",
        "nightly-2",
        "nightly",
    )
    assert row["metadata"] == {"shards": 12}
    settings = load(config, {})
    store = open_store(settings, open_data_dir(settings))
    try:
        stored = store._database.cursor().execute(
            "SELECT pii_email FROM store.api_events WHERE event_name = 'job_started'"
        )
        assert stored.fetchall() == [("ada@example.org",)]
    finally:
        store.close()
