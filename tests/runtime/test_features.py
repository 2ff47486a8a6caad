"""The process's own features, each test in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

FILE = {
    "features": {
        "flag": {"defaultValue": True},
        "exp": {"defaultValue": "a", "rules": [{"key": "e1", "variations": ["a", "b"], "coverage": 1}]},
    }
}
PREAMBLE = """
import threading, byline
def until_loaded():
    done = threading.Event()
    byline.on_feature_refresh(lambda names: done.set())
    assert done.wait(20)
"""


def run(tmp_path: Path, code: str, **environ: str) -> str:
    (tmp_path / "features.json").write_text(json.dumps(FILE))
    kept = {name: value for name, value in os.environ.items() if not name.startswith("BYLINE_")}
    result = subprocess.run(
        [sys.executable, "-c", PREAMBLE + code],
        env={**kept, "XDG_CACHE_HOME": str(tmp_path / "cache"), "BYLINE_TELEMETRY": "off", **environ},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


SOURCE = {"BYLINE_FLAGS__SOURCE": "file", "BYLINE_FLAGS__FILE": "features.json"}


def test_without_any_setting_a_read_gives_the_default_and_starts_no_thread(tmp_path):
    code = "print(byline.feature_value_cached_may_be_stale('flag', False), threading.active_count())"
    assert run(tmp_path, code) == "False 1\n"
    assert not (tmp_path / "cache").exists()


def test_values_come_from_the_source_and_after_a_restart_from_the_disk(tmp_path):
    read = "byline.feature_value_cached_may_be_stale('flag', False)"
    assert run(tmp_path, f"until_loaded(); print({read})", **SOURCE) == "True\n"
    hung = {**SOURCE, "BYLINE_FLAGS__FILE": "features.json"}
    code = f"print({read}, byline.feature_details('flag').layer in ('disk', 'memory'))"
    assert run(tmp_path, code, **hung) == "True True\n"


@pytest.mark.parametrize(
    "environ",
    [{"BYLINE_FLAGS__SOURCE": "nonsense"}, {"BYLINE_FLAGS__SOURCE": "growthbook"}, {"BYLINE_FLAGS__SOURCE": "file"}, {"BYLINE_FLAGS__OVERRIDES": "["}, {"BYLINE_FEATURES": "["}],
)  # fmt: skip
def test_a_read_doesnt_raise_whatever_the_environment_says(tmp_path, environ):
    assert run(tmp_path, "print(byline.feature_value_cached_may_be_stale('flag', 3))", **environ) == "3\n"


def test_overrides_of_the_environment_need_no_source(tmp_path):
    environ = {"BYLINE_FEATURES": '{"a": 1}', "BYLINE_FLAGS__OVERRIDES": '{"a": 2, "b": 2}'}
    code = "print([byline.feature_value_cached_may_be_stale(name, 0) for name in 'abc'])"
    assert run(tmp_path, code, **environ) == "[1, 2, 0]\n"


def test_an_exposure_becomes_an_event(tmp_path):
    code = """
seen = []
byline.attach_sink(lambda events: seen.extend(events)) if False else None
from byline.telemetry import process
process.log_event = lambda name, metadata: seen.append((name, dict(metadata)))
until_loaded()
byline.feature_value_cached_may_be_stale('exp', '')
byline.feature_value_cached_may_be_stale('exp', '')
print(seen[0][0], seen[0][1]['experiment'], seen[0][1]['split_by'], len(seen))
"""
    environ = {**SOURCE, "BYLINE_IDENTITY": '{"user": "u1", "job": "j1"}'}
    assert run(tmp_path, code, **environ) == "feature_exposed e1 id 1\n"


def test_it_can_be_configured_by_the_program(tmp_path):
    code = """
from pathlib import Path
from byline.flags.opening import SourceChoice
byline.feature_value_cached_may_be_stale('flag', False)
byline.configure_features(source=SourceChoice(kind="file", file=Path("features.json")), overrides={"x": 1})
until_loaded()
print(byline.feature_value_cached_may_be_stale('flag', False), byline.feature_value_cached_may_be_stale('x', 0))
"""
    assert run(tmp_path, code) == "True 1\n"
