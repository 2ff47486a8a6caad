"""The programs in README and ARCHITECTURE do what is said beside them."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def only_program(page: str) -> str:
    (program,) = re.findall(r"^```python\n(.*?)^```", (ROOT / page).read_text(), re.MULTILINE | re.DOTALL)
    return program


def run(*command: str, directory: Path) -> str:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("BYLINE_")}
    environ = {**inherited, "BYLINE_IDENTITY": '{"user": "ana", "job": "nightly"}'}
    return subprocess.run(
        [sys.executable, *command],
        cwd=directory,
        env=environ,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    ).stdout


def test_the_event_of_the_readme_is_there_to_be_queried(tmp_path):
    run("-c", only_program("README.md"), directory=tmp_path)
    printed = run("-m", "byline.cli", "events", "query", "--format", "json", directory=tmp_path)
    (event,) = json.loads(printed)
    assert (event["event_name"], event["user"], event["job"]) == ("report_made", "ana", "nightly")
    assert event["metadata"] == {"model": "claude-sonnet-4-6", "pages": 12}


def test_the_sink_of_the_architecture_prints_what_stands_beside_it(tmp_path):
    program = only_program("ARCHITECTURE.md")
    (promised,) = re.findall(r"# prints: (.*)$", program, re.MULTILINE)
    assert run("-c", program, directory=tmp_path) == promised + "\n"
