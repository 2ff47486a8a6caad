"""Commands that only read make no data directory, and say where they looked for one."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from byline.assembly.data_dir import open_data_dir
from byline.assembly.ledger import open_ledger
from byline.cli.app import app
from byline.settings import load
from byline.usage.data_lock import DataLock

run = CliRunner()
READING = [
    "usage", "requests", "top", "incident", "sql SELECT", "events query", "events tail", "export rows.csv",
    "reprice --since 7d", "forget ann", "quota", "quota --format json", "quota --watch", "keys list", "jobs list",
    "backup copies",
]  # fmt: skip


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def files(directory: Path) -> list[str]:
    return sorted(str(path.relative_to(directory)) for path in directory.rglob("*"))


@pytest.mark.parametrize("command", READING)
def test_reading_where_nothing_is_makes_nothing_and_says_where_it_looked(here: Path, command: str) -> None:
    result = run.invoke(app, command.split())
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith(f"byline: no data in {here}/byline-data yet: start `byline serve`")
    assert not (here / "byline-data").exists()


def test_an_empty_directory_is_left_empty(here: Path) -> None:
    (here / "byline-data").mkdir()
    assert run.invoke(app, ["usage"]).exit_code == 1
    assert files(here) == ["byline-data"]


def test_a_directory_with_keys_alone_has_no_rows_to_read(here: Path) -> None:
    assert run.invoke(app, ["keys", "create", "--user", "ann"]).exit_code == 0
    made = files(here)
    assert "no data in" in run.invoke(app, ["usage"]).stderr
    assert files(here) == made
    assert run.invoke(app, ["keys", "list"]).exit_code == 0
    assert run.invoke(app, ["backup", "copies"]).exit_code == 0


def test_an_empty_ledger_is_read(here: Path) -> None:
    open_ledger(load(None, {})).close()
    result = run.invoke(app, ["usage"])
    assert (result.exit_code, result.stderr) == (0, "No requests in this time.\n")


def test_a_server_that_only_starts_is_waited_for(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("byline.assembly.ledger.open_ledger.__kwdefaults__", {"wait_s": 0.0})
    lock = DataLock(open_data_dir(load(None, {})).root / "lock", "byline serve")
    assert "in use by byline serve" in run.invoke(app, ["usage"]).stderr
    lock.close()


def test_a_data_directory_that_cannot_be_one_is_told_as_before(here: Path) -> None:
    (here / "byline-data").touch()
    assert "can't be made: File exists" in run.invoke(app, ["usage"]).stderr


def test_budgets_of_the_settings_are_listed_where_nothing_else_is(here: Path) -> None:
    Path("byline.toml").write_text('[budgets.each]\nuser = "*"\nusd_per_day = 3\n')
    result = run.invoke(app, ["budgets", "list"])
    assert result.exit_code == 0, result.stderr
    assert "usd_per_day" in result.stdout
    assert files(here) == ["byline.toml"]


def test_a_status_line_speaks_of_its_session_where_nothing_is(here: Path) -> None:
    assert run.invoke(app, ["quota", "--statusline"], input="{}").exit_code == 0
    assert files(here) == []
