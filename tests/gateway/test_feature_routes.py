"""GrowthBook's SDKs as clients of the gateway, and who may ask for what."""

from __future__ import annotations

import json
import os
import subprocess
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.flags.node import needs_growthbook_js, node_environ
from tests.gateway.conftest import receive_answer, request

from byline.flags.client import FeatureClient, FeatureOptions
from byline.flags.opening import SourceChoice, open_source

FEATURES: dict[str, Any] = {
    "plain": {"defaultValue": {"limit": 5}},
    "core_only": {"defaultValue": False, "rules": [{"id": "r1", "condition": {"team": "core"}, "force": True}]},
    "nightly": {"defaultValue": 1, "rules": [{"condition": {"job": {"$regex": "^nightly-"}}, "force": 2}]},
    "split": {"defaultValue": "off", "rules": [{"key": "exp", "variations": ["off", "on"], "meta": [{"key": "c"}, {"key": "t"}]}]},
}  # fmt: skip


def write_features(path: Path, features: dict[str, Any]) -> None:
    fresh = path.with_suffix(".new")
    fresh.write_text(json.dumps({"features": features, "dateUpdated": "2026-11-21T00:00:00Z"}))
    fresh.replace(path)


@pytest.fixture
def file(tmp_path) -> Path:
    path = tmp_path / "features.json"
    write_features(path, FEATURES)
    return path


@pytest.fixture
def rig(make_rig, file):
    rig = make_rig(
        BYLINE_FLAGS__SOURCE="file", BYLINE_FLAGS__FILE=str(file), BYLINE_FLAGS__CLIENT_KEYS="sdk-open"
    )
    wait_until_loaded(rig)
    return rig


def ask(rig, path: str, *, method: str = "GET", body: bytes = b"", key: str = "", extra: str = ""):
    with rig.connect() as connection:
        connection.sendall(
            request(path, body, key=key or "none", header="x-api-key" if key else "x-other", method=method, extra=extra)
        )  # fmt: skip
        head, answer = receive_answer(connection)
    return int(head.split()[1]), head, answer


def wait_until_loaded(rig) -> None:
    deadline = time.monotonic() + 20
    while ask(rig, "/api/features/sdk-open")[0] != 200:
        assert time.monotonic() < deadline, "the features do not come"


def evaluate(rig, sent: dict[str, Any], key: str = "", client_key: str = "sdk-open") -> dict[str, Any]:
    body = json.dumps(sent).encode()
    status, _, answer = ask(rig, f"/api/eval/{client_key}", method="POST", body=body, key=key)
    assert status == 200, answer
    return json.loads(answer)["features"]


def test_the_payload_is_served_as_growthbook_does_with_an_etag(rig):
    status, head, body = ask(rig, "/api/features/sdk-open")
    assert status == 200
    document = json.loads(body)
    assert (document["status"], document["features"]) == (200, FEATURES)
    etag = next(line.partition(b": ")[2] for line in head.split(b"\r\n") if line.startswith(b"etag"))
    with rig.connect() as connection:
        connection.sendall(
            request("/api/features/sdk-open", b"", key="k", header="x-other", method="GET", extra=f"If-None-Match: {etag.decode()}\r\nConnection: close\r\n")
        )  # fmt: skip
        answer = connection.makefile("rb").read()
    assert answer.startswith(b"HTTP/1.1 304")
    assert answer.endswith(b"\r\n\r\n")


def test_a_client_key_that_is_not_listed_needs_a_byline_key(rig):
    assert ask(rig, "/api/features/sdk-other")[0] == 401
    assert ask(rig, "/api/eval/sdk-other", method="POST", body=b"{}")[0] == 401
    assert ask(rig, "/api/features/sdk-other", key=rig.key)[0] == 200
    assert rig.rows() == []


@pytest.mark.parametrize(
    "path", ["/api/features/", "/api/features/a/b", "/api/features/a%2Fb", "/api/eval/sdk-open"]
)
def test_other_paths_are_not_features(rig, path):
    assert ask(rig, path)[0] == 401
    assert ask(rig, path, key=rig.key)[0] == 404


def test_values_are_evaluated_for_the_attributes_sent(rig):
    found = evaluate(rig, {"attributes": {"id": "u1", "team": "core", "job": "nightly-7"}})
    assert (found["core_only"]["defaultValue"], found["nightly"]["defaultValue"]) == (True, 2)
    track = found["split"]["rules"][0]["tracks"][0]
    assert track["experiment"]["key"] == "exp"
    assert track["result"]["key"] in ("c", "t")
    assert {} in track["experiment"]["variations"]  # the variation of the others is not given away


def test_with_a_byline_key_the_gateway_says_who_asks(rig):
    other = rig.known_key("bob", team="sales")
    sent = {"attributes": {"id": "forged", "team": "core", "user": "ada", "job": "nightly-7"}}
    found = evaluate(rig, sent, key=rig.key, client_key="any")
    assert (found["core_only"]["defaultValue"], found["nightly"]["defaultValue"]) == (True, 2)
    assert evaluate(rig, sent, key=other, client_key="any")["core_only"]["defaultValue"] is False


def test_a_job_that_a_key_may_not_claim_is_not_evaluated_for(rig):
    bound = rig.known_key("eve", job="daily-1")
    found = evaluate(rig, {"attributes": {"job": "nightly-7"}}, key=bound, client_key="any")
    assert found["nightly"]["defaultValue"] == 1


def test_forced_variations_and_features_are_the_callers_own_affair(rig):
    sent = {
        "attributes": {"id": "u1"},
        "forcedVariations": {"exp": 1},
        "forcedFeatures": [["plain", "forced"]],
    }
    found = evaluate(rig, sent)
    assert (found["split"]["defaultValue"], found["plain"]["defaultValue"]) == ("on", "forced")
    assert evaluate(rig, {"attributes": {"id": "u1"}})["plain"]["defaultValue"] == {"limit": 5}


@pytest.mark.parametrize(
    "body", [b"[]", b"{", b'{"attributes": 1}', b'{"forcedVariations": {"a": "b"}}', b"[" * 10_000]
)
def test_a_malformed_body_is_refused_with_an_example(rig, body):
    status, _, answer = ask(rig, "/api/eval/sdk-open", method="POST", body=body)
    assert status == 400
    assert b"attributes" in answer


def test_a_body_that_is_too_long_is_refused_before_it_is_read(rig):
    with rig.connect() as connection:
        connection.sendall(b"POST /api/eval/sdk-open HTTP/1.1\r\nHost: g\r\nContent-Length: 10000000\r\n\r\n")
        assert connection.recv(100).startswith(b"HTTP/1.1 413")


def test_without_a_source_there_is_nothing_to_serve(make_rig):
    rig = make_rig(BYLINE_FLAGS__CLIENT_KEYS="sdk-open")
    status, _, answer = ask(rig, "/api/features/sdk-open")
    assert status == 404
    assert b"[flags]" in answer


def test_requests_go_on_while_many_values_are_evaluated(rig):
    with rig.connect() as slow:
        slow.sendall(request("/api/eval/sdk-open", b"{}", key="k", header="x-other") * 20)
        assert ask(rig, "/healthz")[0] == 200


def test_the_client_runtimes_own_source_reads_from_the_gateway(rig):
    choice = SourceChoice(kind="gateway", url=f"http://127.0.0.1:{rig.port}", byline_key=rig.key)
    client = FeatureClient(open_source(choice, {"id": "x"}), FeatureOptions(poll_interval_s=3600))
    client.refresher._poll()
    assert client.refresher.problem is None
    assert client.value("core_only", False) is True
    assert client.value("plain", {}) == {"limit": 5}


def test_the_official_python_sdk_is_a_client(rig):
    from growthbook import GrowthBook

    for remote in (False, True):
        sdk = GrowthBook(
            api_host=f"http://127.0.0.1:{rig.port}",
            client_key="sdk-open",
            attributes={"id": "u1", "team": "core"},
            **({"remote_eval": True} if remote else {}),
        )
        sdk.load_features()
        assert sdk.is_on("core_only")
        assert sdk.get_feature_value("plain", None) == {"limit": 5}
        assert sdk.get_feature_value("nightly", 0) == 1
        sdk.destroy()


JS = """
const { GrowthBook } = require("@growthbook/growthbook");
(async () => {
  const out = [];
  for (const remoteEval of [false, true]) {
    const seen = [];
    const gb = new GrowthBook({
      apiHost: process.env.HOST, clientKey: "sdk-open", remoteEval,
      attributes: { id: "u1", team: "core", job: "nightly-1" },
      trackingCallback: (experiment, result) => seen.push([experiment.key, result.key]),
    });
    const init = await gb.init({ timeout: 5000 });
    out.push({ init: init.success, core: gb.isOn("core_only"), plain: gb.getFeatureValue("plain", null),
      nightly: gb.getFeatureValue("nightly", 0), split: gb.getFeatureValue("split", ""), seen });
    gb.destroy();
  }
  console.log(JSON.stringify(out));
})();
"""


@needs_growthbook_js
def test_the_official_javascript_sdk_is_a_client(rig):
    environ = node_environ(HOST=f"http://127.0.0.1:{rig.port}")
    printed = subprocess.check_output(["node", "-e", JS], env=environ, timeout=60)
    local, remote = json.loads(printed)
    assert local == remote
    assert local["init"]
    assert (local["core"], local["plain"], local["nightly"]) == (True, {"limit": 5}, 2)
    assert local["split"] == {"c": "off", "t": "on"}[local["seen"][0][1]]
    assert local["seen"][0][0] == "exp"


def test_own_flags_steer_the_worker_without_restart(rig, file):
    drains = rig.worker._watched[0]
    assert drains.limits.max_streams == 64
    write_features(file, {**FEATURES, "gateway.drain_max_streams": {"defaultValue": 3}})
    deadline = time.monotonic() + 20
    while drains.limits.max_streams != 3:
        assert time.monotonic() < deadline, "the limit stays"
        time.sleep(0.02)
    write_features(file, {**FEATURES, "gateway.drain_max_streams": {"defaultValue": -1}})
    while drains.limits.max_streams != 64:
        assert time.monotonic() < deadline, "a value against the rule counts"
        time.sleep(0.02)
    assert os.path.exists(rig.data_dir / "flags")
    assert msgspec.json.decode(ask(rig, "/healthz")[2]) == {"status": "ok"}
