"""A running worker follows its own flags: the feature file changes, the worker goes on serving."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.gateway.conftest import Rig, receive_answer, request
from tests.gateway.upstream_script import OK, answer

from byline.quota.early_warning import DEFAULT_RULES, Pace

UNKNOWN = "byl_" + "k" * 12 + "_" + "s" * 43
REFUSED = "gateway_requests_unauthenticated"


class Steered:
    """A worker with its feature file."""

    def __init__(self, make_rig: Callable[..., Rig], file: Path, features: dict[str, Any]) -> None:
        self._file = file
        self._changes = 0
        self._write(features)
        self.rig = make_rig(
            BYLINE_FLAGS__SOURCE="file",
            BYLINE_FLAGS__FILE=str(file),
            BYLINE_GATEWAY__ID="gw",
            BYLINE_BUDGETS__SEED_TIMEOUT="10ms",
        )

    def change(self, values: dict[str, Any]) -> None:
        """Returns once the worker goes by them. All flags are applied in one turn of its loop."""
        self._changes += 1
        streams = 1000 + self._changes
        features = {name: {"defaultValue": value} for name, value in values.items()}
        self._write({**features, "gateway.drain_max_streams": {"defaultValue": streams}})
        assert self.rig.worker is not None
        until(lambda: self.rig.worker is not None and self.rig.worker.drains.limits.max_streams == streams)

    def knock(self) -> None:
        """A request with a key that nobody has."""
        self.send(UNKNOWN, 401)

    def send(self, key: str, status: int = 200) -> None:
        with self.rig.connect() as connection:
            connection.sendall(request(key=key))
            assert int(receive_answer(connection)[0].split()[1]) == status

    def counts(self) -> dict[str, int]:
        path = self.rig.data_dir / "status" / "worker0.json"
        return json.loads(path.read_text())["counts"] if path.exists() else {}

    def events(self) -> list[dict[str, Any]]:
        """Stops the worker first."""
        self.rig.stop()
        lines = [
            line
            for path in sorted((self.rig.data_dir / "journal").glob("*.ndjson"))
            for line in path.read_bytes().splitlines()
        ]
        return [entry for line in lines if (entry := msgspec.json.decode(line))["entry"] == "event"]

    def _write(self, features: dict[str, Any]) -> None:
        fresh = self._file.with_suffix(".new")
        fresh.write_text(json.dumps({"features": features}))
        fresh.replace(self._file)


def until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not is_so():
        assert time.monotonic() < deadline, "it does not come about"
        time.sleep(0.01)


@pytest.fixture
def steer(make_rig: Callable[..., Rig], tmp_path: Path) -> Callable[[dict[str, Any]], Steered]:
    return lambda features: Steered(make_rig, tmp_path / "features.json", features)


Steer = Callable[[dict[str, Any]], Steered]


def test_events_are_sampled_switched_off_and_told_again_as_the_flags_change(steer: Steer) -> None:
    steered = steer({"plain": {"defaultValue": 1}})
    steered.change({"gateway.event_sample_rates": {REFUSED: 0}})
    steered.knock()
    until(lambda: steered.counts().get("events_sampled_out") == 1)
    steered.change({"gateway.sinks_off": ["first_party"]})
    steered.knock()
    until(lambda: steered.counts().get("events_switched_off") == 1)
    steered.change({"gateway.event_sample_rates": {"another_event": 0}})
    steered.knock()
    told = steered.events()
    assert [(event["event_name"], event["metadata"]) for event in told] == [
        (REFUSED, {"kind": "unknown_key", "count": 1})
    ]
    assert "sample_rate" not in told[0]


def test_a_kept_event_says_the_rate_it_was_kept_at(steer: Steer) -> None:
    steered = steer({"gateway.event_sample_rates": {"defaultValue": {REFUSED: 1 - 1e-15}}})
    steered.change({"gateway.event_sample_rates": {REFUSED: 1 - 1e-15}})
    steered.knock()
    assert [event["sample_rate"] for event in steered.events()] == [1 - 1e-15]


def test_a_quota_warns_as_early_as_the_flag_says(steer: Steer) -> None:
    steered = steer({"plain": {"defaultValue": 1}})
    prefix = "anthropic-ratelimit-unified"
    lines = {
        f"{prefix}-status": "allowed",
        f"{prefix}-5h-status": "allowed",
        f"{prefix}-5h-utilization": "0.75",
        f"{prefix}-5h-reset": str(int(time.time()) + 4 * 3600),
    }
    head = OK + "".join(f"{name}: {value}\r\n" for name, value in lines.items()).encode()
    steered.rig.upstream.scripts = [answer(head=head)]
    steered.send(steered.rig.key)
    steered.change({"gateway.early_warnings": {"five_hour": [{"utilization": 0.7, "elapsed": 0.5}]}})
    steered.send(steered.rig.key)
    steered.change({"gateway.early_warnings": {"five_hour": []}})
    steered.send(steered.rig.key)
    steered.change({})
    steered.send(steered.rig.key)
    statuses = [row["quota"].get("status", "allowed") for row in steered.rig.rows()]
    assert statuses == ["allowed", "allowed_warning", "allowed", "allowed"]
    assert DEFAULT_RULES.windows["five_hour"] == (Pace(0.90, 0.72),)


@pytest.mark.parametrize(
    ("name", "values", "rule"),
    [
        ("gateway.sinks_off", (["datadog"], ["datadog"]), "a list of sinks"),
        ("gateway.event_sample_rates", ({REFUSED: 2}, {REFUSED: 2}), "an object of numbers from 0 to 1"),
        ("gateway.event_sample_rates", ("none", 0), "an object of numbers from 0 to 1"),
        (
            "gateway.early_warnings",
            ({"five_hour": [{"used": 1}]}, {"five_hour": [{"used": 1}]}),
            "an object of lists",
        ),
        ("gateway.drain_max_bytes", ("all", 1.5), "0 or more"),
    ],
)
def test_a_bad_value_is_ignored_with_one_warning(
    steer: Steer, caplog: pytest.LogCaptureFixture, name: str, values: tuple[Any, Any], rule: str
) -> None:
    steered = steer({"plain": {"defaultValue": 1}})
    for value in values:
        steered.change({name: value})
    steered.knock()
    assert [event["event_name"] for event in steered.events()] == [REFUSED]
    warned = [record.getMessage() for record in caplog.records if f"feature {name} " in record.getMessage()]
    assert len(warned) == 1
    assert rule in warned[0]


def test_a_flag_that_an_experiment_decides_is_told_as_an_exposure_once(steer: Steer) -> None:
    rule = {"key": "fewer-streams", "variations": [3, 3], "meta": [{"key": "a"}, {"key": "b"}]}
    experiment = {"gateway.drain_max_streams": {"defaultValue": 64, "rules": [rule]}}
    steered = steer(experiment)
    until(lambda: steered.rig.worker is not None and steered.rig.worker.drains.limits.max_streams == 3)
    steered._write(
        {**experiment, "plain": {"defaultValue": 2}, "gateway.drain_timeout_s": {"defaultValue": 7}}
    )
    until(lambda: steered.rig.worker is not None and steered.rig.worker.drains.limits.timeout_s == 7)
    (told,) = steered.events()
    assert (told["event_name"], told["source"]) == ("feature_exposed", "gateway")
    seen = told["metadata"]
    assert seen["variation_key"] in {"a", "b"}
    assert {**seen, "variation": 0, "variation_key": ""} == {
        "feature": "gateway.drain_max_streams",
        "experiment": "fewer-streams",
        "variation": 0,
        "variation_key": "",
        "split_by": "id",
    }
