"""Each line of the misuse file, on its own, is an error to mypy and to pyright."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
MISUSE = HERE / "telemetry_misuse.py"
MARK = re.compile(r"  # type: ignore.*")


@pytest.fixture
def unmarked(tmp_path: Path) -> tuple[Path, set[int]]:
    """The misuse file without the marks that silence checkers, and the lines that had one."""
    lines = MISUSE.read_text().splitlines()
    bare = tmp_path / "misuse.py"
    bare.write_text("\n".join(MARK.sub("", line) for line in lines) + "\n")
    return bare, {number for number, line in enumerate(lines, start=1) if MARK.search(line)}


@pytest.mark.slow
def test_mypy_rejects_every_line_of_the_misuse_file(unmarked, tmp_path):
    bare, wrong = unmarked
    command = [
        sys.executable,
        "-m",
        "mypy",
        "--strict",
        "--config-file=",
        "--cache-dir",
        str(tmp_path / "cache"),
    ]
    output = subprocess.run(
        [*command, str(bare)], capture_output=True, text=True, cwd=HERE, check=False
    ).stdout
    found = {int(line) for line in re.findall(r"misuse\.py:(\d+): error", output)}
    assert found == wrong
    assert len(wrong) > 30


@pytest.mark.slow
def test_pyright_rejects_every_line_of_the_misuse_file(unmarked):
    bare, wrong = unmarked
    command = [sys.executable, "-m", "pyright", "--outputjson", "--pythonpath", sys.executable, str(bare)]
    output = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    errors = [each for each in json.loads(output)["generalDiagnostics"] if each["severity"] == "error"]
    assert {each["range"]["start"]["line"] + 1 for each in errors} == wrong
