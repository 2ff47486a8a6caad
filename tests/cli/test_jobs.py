"""`byline jobs`, run as people and scripts run it."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner, Result

from byline.cli.app import app


@pytest.fixture
def byline(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BYLINE_DATA_DIR", str(tmp_path / "data"))

    def run(*arguments: str) -> Result:
        return CliRunner().invoke(app, list(arguments))

    return run


def test_set_and_list(byline):
    byline("keys", "create", "--user", "ann", "--email", "ann@example.com", "--team", "core")
    result = byline(
        "jobs", "set", "nightly-*", "--owner", "ann", "--description", "builds", "--format", "json"
    )
    expected = {
        "job": "nightly-*",
        "owner": "ann",
        "owner_email": "ann@example.com",
        "owner_team": "core",
        "description": "builds",
    }
    assert json.loads(result.stdout) == [expected]
    assert result.stderr == ""
    assert json.loads(byline("jobs", "list", "--format", "json").stdout) == [expected]


def test_an_unknown_owner_is_made_and_said_on_stderr(byline):
    result = byline("jobs", "set", "nightly", "--owner", "zoe", "--format", "json")
    assert result.exit_code == 0
    assert "no user 'zoe' yet" in result.stderr
    assert json.loads(result.stdout)[0]["owner"] == "zoe"


def test_without_jobs_the_list_is_empty(byline):
    byline("keys", "create", "--user", "ann")
    assert json.loads(byline("jobs", "list", "--format", "json").stdout) == []


def test_an_owner_is_needed_and_a_bad_name_refused(byline):
    assert byline("jobs", "set", "nightly").exit_code == 2
    result = byline("jobs", "set", "a\nb", "--owner", "ann")
    assert result.exit_code == 1
    assert "job has control characters" in result.stderr
    assert "made one" not in result.stderr
    assert json.loads(byline("jobs", "list", "--format", "json").stdout) == []
