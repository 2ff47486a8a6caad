from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

FEATURES = {
    "fast_path": {
        "defaultValue": False,
        "rules": [{"id": "core", "condition": {"team": "core"}, "force": True}],
    },
    "limit": {"defaultValue": 5},
}


@pytest.fixture
def config(tmp_path) -> Path:
    (tmp_path / "features.json").write_text(json.dumps({"features": FEATURES}))
    path = tmp_path / "byline.toml"
    path.write_text('[flags]\nsource = "file"\nfile = "features.json"\n[flags.overrides]\npinned = [1]\n')
    return path


def run(config: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "byline.cli", "flags", *arguments, "--config", str(config)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def replace_features(path: Path, features: dict[str, object]) -> None:
    """Whole: the command looks at the file whenever it likes."""
    fresh = path.with_suffix(".new")
    fresh.write_text(json.dumps({"features": features}))
    fresh.replace(path)


def listed(config: Path) -> dict[str, dict[str, object]]:
    rows = json.loads(run(config, "list", "--format", "json").stdout)
    return {row["feature"]: row for row in rows}


def test_list_shows_layer_and_age_and_the_gateways_own_flags(config):
    rows = listed(config)
    assert (rows["limit"]["value"], rows["limit"]["layer"]) == (5, "memory")
    assert isinstance(rows["limit"]["age_s"], int)
    assert (rows["pinned"]["value"], rows["pinned"]["layer"]) == ([1], "config")
    own = rows["gateway.drain_max_streams"]
    assert (own["value"], own["layer"], own["reason"]) == (64, "default", "DEFAULT")


def test_an_override_is_kept_until_it_is_cleared(config):
    assert run(config, "override", "limit", "9").returncode == 0
    assert run(config, "override", "motto", "plain text").returncode == 0
    rows = listed(config)
    assert (rows["limit"]["value"], rows["limit"]["layer"]) == (9, "config")
    assert rows["motto"]["value"] == "plain text"
    assert run(config, "override", "limit", "--clear").returncode == 0
    assert listed(config)["limit"]["value"] == 5


def test_an_override_that_an_own_flag_would_refuse_is_refused_with_its_rule(config):
    result = run(config, "override", "gateway.log_level", "loud")
    assert result.returncode == 1
    assert "debug, info, warning or error" in result.stderr
    assert run(config, "override", "gateway.drain_max_bytes", "text").returncode == 1
    half = run(config, "override", "gateway.drain_max_streams", "1.5")
    assert (half.returncode, "must be a whole number, 0 or more" in half.stderr) == (1, True)
    assert listed(config)["gateway.drain_max_streams"]["layer"] == "default"


def test_override_wants_a_value_or_clear(config):
    assert run(config, "override", "limit").returncode == 2
    assert run(config, "override", "limit", "1", "--clear").returncode == 2


def test_get_shows_one_feature_and_fails_for_an_unknown_one(config):
    found = json.loads(run(config, "get", "limit", "--format", "json").stdout)
    assert (found["feature"], found["value"]) == ("limit", 5)
    unknown = run(config, "get", "nope")
    assert (unknown.returncode, unknown.stdout) == (1, "")


def test_explain_says_which_rule_and_why(config):
    rows = json.loads(run(config, "explain", "fast_path", "--format", "json").stdout)
    assert [row["outcome"] for row in rows] == ["condition not met", "the feature's default: no rule matched"]
    rows = json.loads(run(config, "explain", "fast_path", "--team", "core", "--format", "json").stdout)
    assert (rows[0]["rule"], rows[0]["outcome"], rows[1]["detail"]) == ("core", "matched", True)
    assert "no value" in run(config, "explain", "nope").stderr


def test_explain_names_an_override_that_wins(config):
    run(config, "override", "fast_path", "true")
    rows = json.loads(run(config, "explain", "fast_path", "--format", "json").stdout)
    assert rows[0]["outcome"] == "wins: layer config"


def test_watch_prints_what_changes(config):
    features = config.with_name("features.json")
    command = [sys.executable, "-m", "byline.cli", "flags", "watch", "--count", "2", "--format", "json"]
    with subprocess.Popen([*command, "--config", str(config)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        first = [json.loads(process.stdout.readline()) for _ in range(2)]
        replace_features(features, {**FEATURES, "limit": {"defaultValue": 6}})
        rest, _ = process.communicate(timeout=60)
    assert {row["feature"] for row in first} == {"fast_path", "limit"}
    assert [(row["feature"], row["value"]) for row in map(json.loads, rest.splitlines())] == [("limit", 6)]


def test_watch_as_csv_names_its_columns_once(config):
    features = config.with_name("features.json")
    command = [sys.executable, "-m", "byline.cli", "flags", "watch", "--count", "2", "--format", "csv"]
    with subprocess.Popen([*command, "--config", str(config)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        first = [process.stdout.readline() for _ in range(3)]
        replace_features(features, {**FEATURES, "limit": {"defaultValue": 6}})
        rest, _ = process.communicate(timeout=60)
    assert first[0] == "at,feature,value,layer\n"
    assert [line.split(",")[1:3] for line in [*first[1:], *rest.splitlines()]] == [
        ["fast_path", "false"], ["limit", "5"], ["limit", "6"],
    ]  # fmt: skip


def test_list_leaves_what_a_flag_is_for_to_get(config):
    assert "How long an abandoned answer" not in run(config, "list").stdout
    assert "How long an abandoned answer" in run(config, "get", "gateway.drain_timeout_s").stdout
    assert "How long an abandoned answer" in run(config, "list", "--format", "csv").stdout


def test_values_known_from_before_are_shown_while_the_source_is_away(config):
    assert listed(config)["limit"]["layer"] == "memory"
    config.with_name("features.json").unlink()
    result = run(config, "list", "--format", "json")
    rows = {row["feature"]: row for row in json.loads(result.stdout)}
    assert (rows["limit"]["value"], rows["limit"]["layer"], rows["limit"]["reason"]) == (5, "disk", "CACHED")
    assert "can't be read" in result.stderr
