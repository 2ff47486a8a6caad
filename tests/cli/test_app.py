"""The `byline` command itself: version, help, errors, and what it imports to say so."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from byline.cli import app as command_line
from byline.cli.output import CommandError
from byline.settings import SettingsError

HEAVY = ("duckdb", "uvloop", "httptools", "genai_prices", "rich", "asyncio", "jwt")


@pytest.fixture
def runner(monkeypatch):
    """Runs `byline probe`, a command that raises what it is given."""

    def run(error: Exception):
        def register(app: typer.Typer) -> None:
            @app.command("probe")
            def probe() -> None:
                raise error

        module = type(sys)("probe_command")
        module.register = register  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "probe_command", module)
        monkeypatch.setitem(command_line.COMMANDS, "probe", "probe_command")
        return CliRunner().invoke(command_line.app, ["probe"])

    return run


def python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


def test_version_names_the_build():
    result = CliRunner().invoke(command_line.app, ["--version"])
    assert result.output == "byline 0.1.0 (public)\n"


@pytest.mark.parametrize("name", command_line.COMMANDS)
def test_every_command_of_the_table_has_help(name):
    result = CliRunner().invoke(command_line.app, [name, "--help"], prog_name="byline")
    assert result.exit_code == 0
    assert f"byline {name}" in result.output


@pytest.mark.parametrize("arguments", [["serve"], ["usage", "--since", "1d"], ["backup", "copy"], ["doctor"]])
def test_an_engine_that_is_not_built_yet_is_refused_before_anything_is_opened(
    arguments, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BYLINE_LEDGER__ENGINE", "clickhouse")
    result = CliRunner().invoke(command_line.app, arguments)
    assert result.exit_code == 1
    said = " ".join(result.output.split())
    assert 'ledger.engine = "clickhouse" is not supported yet: write "duckdb", or leave the key out' in said
    assert list(tmp_path.glob("byline-data/*")) == []


def test_an_unknown_command_is_a_usage_error_with_the_nearest_one():
    result = CliRunner().invoke(command_line.app, ["usge"])
    assert result.exit_code == 2
    assert "Did you mean 'usage'?" in result.stderr


def test_version_and_a_wrong_command_load_nothing_heavy():
    code = f"""
import sys
sys.argv = ["byline", "--version"]
from byline.cli.__main__ import main
try:
    main()
except SystemExit:
    pass
print(sorted(set({HEAVY!r}) & set(sys.modules)))
"""
    assert python(code).stdout.splitlines()[-1] == "[]"


def test_without_the_gateway_extra_it_says_what_to_install():
    code = """
import sys
sys.modules["typer"] = None
from byline.cli.__main__ import main
main()
"""
    result = python(code)
    assert result.returncode == 1
    assert result.stderr == "byline: the command line needs more packages: pip install 'byline[gateway]'\n"


@pytest.mark.parametrize("shape", ["table", "json"])
def test_output_that_finds_no_room_is_one_line_and_a_failure(shape, tmp_path):
    with open("/dev/full", "w") as full:
        listing = [sys.executable, "-m", "byline.cli", "budgets", "list", "--format", shape]
        ended = subprocess.run(listing, stdout=full, stderr=subprocess.PIPE, text=True, cwd=tmp_path)
    assert ended.returncode == 1
    assert ended.stderr.splitlines()[-1] == "byline: No space left on device: make room, and ask again"
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize("error", [CommandError("no such key"), SettingsError("no such key")])
def test_a_failed_command_says_why_on_stderr_and_exits_1(runner, error):
    result = runner(error)
    assert (result.exit_code, result.stdout, result.stderr) == (1, "", "byline: no such key\n")


def test_an_error_of_our_own_making_is_not_hidden(runner):
    assert isinstance(runner(KeyError("bug")).exception, KeyError)


PYTHON_TYPES = re.compile(r"<[a-z]|\\b(TEXT|INTEGER|BOOLEAN|PATH)\\b")


def commands(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    yield path
    for name, below in getattr(command, "commands", {}).items():
        yield from commands(below, (*path, name))


@pytest.mark.parametrize("name", ["", *command_line.COMMANDS])
def test_help_says_what_to_write_and_nothing_of_pythons_types(name):
    top: Any = typer.main.get_command(command_line.app)
    paths = [(name, *path) for path in commands(top.get_command(None, name))] if name else [()]
    for path in paths:
        shown = CliRunner().invoke(command_line.app, [*path, "--help"], prog_name="byline").output
        assert not PYTHON_TYPES.search(shown), shown


def test_what_takes_a_value_names_it_and_a_flag_takes_none():
    shown = CliRunner().invoke(command_line.app, ["export", "--help"], prog_name="byline").output
    assert re.search(r"\\*\s+FILE\s+The file to write", shown)
    assert re.search(r"--force\s+Replace", shown)
    assert re.search(r"--format\s+parquet\|csv\s+By", shown)
    shown = CliRunner().invoke(command_line.app, ["usage", "--help"], prog_name="byline").output
    assert re.search(r"--by\s+GROUP,\.\.\.\s", shown)
    assert re.search(r"--limit\s+N ", shown)


def test_a_piped_table_has_no_blanks_at_the_ends_of_its_lines(tmp_path, monkeypatch):
    monkeypatch.setenv("BYLINE_DATA_DIR", str(tmp_path))
    for arguments in (["keys", "create", "--user", "ana"], ["prices", "show", "claude-sonnet-4-5"]):
        lines = CliRunner().invoke(command_line.app, arguments).stdout.splitlines()
        assert len(lines) > 3
        assert [line for line in lines if line != line.rstrip()] == []
