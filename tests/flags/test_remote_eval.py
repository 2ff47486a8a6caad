from __future__ import annotations

import json
from collections.abc import Generator
from typing import Any

import pytest
from tests.flags.conftest import CASES, FeatureServer, growthbook_payload, parsed, reply
from tests.flags.node import needs_growthbook_js, remote_evaluator

from byline.flags.client import FeatureClient, FeatureOptions
from byline.flags.evaluation import evaluate_payload, read_evaluated
from byline.flags.payload import PayloadRefused
from byline.flags.snapshot import Exposure
from byline.flags.sources.remote_eval import RemoteEval

SLOW = FeatureOptions(poll_interval_s=3600)
TRACK = {
    "experiment": {"key": "exp", "variations": [{}, "b"]},
    "result": {"variationId": 1, "key": "treatment", "hashAttribute": "device", "inExperiment": True},
}


def test_an_evaluated_answer_is_read_with_value_variant_and_exposure():
    found = read_evaluated(
        parsed(
            {
                "plain": {"defaultValue": {"x": 1}},
                "exp": {"defaultValue": "a", "rules": [{"force": "b", "tracks": [TRACK]}]},
                "nulled": {"defaultValue": 1, "rules": [{"force": None}]},
                "undefined": {},
            }
        )
    )
    assert found["plain"].value == {"x": 1}
    assert (found["exp"].value, found["exp"].reason, found["exp"].variant) == ("b", "SPLIT", "treatment")
    assert found["exp"].exposures == (Exposure("exp", "exp", 1, "treatment", "device"),)
    assert found["nulled"].value is None
    assert found["undefined"].value is None


@pytest.mark.parametrize(
    "rule",
    [{"condition": {"id": 1}, "force": 1}, {"variations": [1, 2]}, {}, {"force": 1, "tracks": [{}]}, {"force": 1, "tracks": [{"experiment": 1, "result": 2}]}],
)  # fmt: skip
def test_rules_left_unevaluated_or_unreadable_exposures_are_refused(rule):
    with pytest.raises(PayloadRefused):
        read_evaluated(parsed({"a": {"defaultValue": 1, "rules": [rule]}}))


def test_attributes_and_key_are_sent_and_an_equal_answer_is_no_news(server: FeatureServer):
    server.answer = lambda handler: reply(handler, growthbook_payload({"a": {"defaultValue": 1}}))
    source = RemoteEval(server.url, "k", {"id": "u1"}, headers={"x-byline-key": "secret"})
    first = source.fetch(None)
    assert first is not None
    assert source.fetch(first.validator) is None
    assert server.requests == ["/api/eval/k"] * 2
    assert json.loads(server.bodies[0])["attributes"] == {"id": "u1"}
    assert server.headers[0]["x-byline-key"] == "secret"


def test_no_growthbook_package_is_needed_for_evaluated_answers(server: FeatureServer):
    import subprocess
    import sys

    server.serve({"a": {"defaultValue": 1}})
    code = f"""
import sys
sys.modules["growthbook"] = None
from byline.flags.sources.growthbook_api import GrowthBookApi
from byline.flags.sources.remote_eval import RemoteEval
from byline.flags.payload import PayloadRefused, parse_payload
from byline.flags.evaluation import evaluate_payload
print(RemoteEval({server.url!r}, "k", {{}}).fetch(None).features["a"].value)
print(GrowthBookApi({server.url!r}, "k", {{}}).fetch(None).features["a"].value)
try:
    evaluate_payload(parse_payload(b'{{"features":{{"a":{{"rules":[{{"force":1}}]}}}}}}'), {{}})
except PayloadRefused as refused:
    print(refused)
"""
    printed = subprocess.check_output([sys.executable, "-c", code], text=True)
    assert printed.splitlines()[:2] == ["1", "1"]
    assert "pip install 'byline[flags]'" in printed


CORPUS: list[Any] = json.loads(CASES.read_text())["feature"] if CASES.exists() else []
WHOLE: dict[str, Any] = {
    "all": {"defaultValue": 0, "rules": [{"condition": {"team": "core"}, "force": 1}]},
    "half": {"defaultValue": "off", "rules": [{"variations": ["off", "on"], "key": "half-exp", "meta": [{"key": "c"}, {"key": "t"}]}]},
    "covered": {"defaultValue": False, "rules": [{"force": True, "coverage": 0.3, "hashAttribute": "device"}]},
    "child": {"defaultValue": "no", "rules": [{"parentConditions": [{"id": "half", "condition": {"value": "on"}}], "force": "yes"}]},
    "object": {"defaultValue": {"deep": [1, {"x": None}]}},
    "later": {"defaultValue": 1, "rules": [{"condition": {"team": "no"}, "variations": [1, 2]}, {"force": 7, "namespace": ["n", 0, 1]}]},
}  # fmt: skip


@needs_growthbook_js
def test_the_official_evaluator_and_our_own_evaluation_agree():
    with remote_evaluator({"k": {"features": WHOLE}}) as url:
        for number in range(100):
            attributes = {
                "id": f"user-{number}",
                "device": f"d{number}",
                "team": "core" if number % 3 else "x",
            }
            reported: list[Exposure] = []
            client = FeatureClient(RemoteEval(url, "k", attributes), SLOW, report=reported.append)
            client.refresher._poll()
            assert client.refresher.problem is None
            ours = evaluate_payload(parsed(WHOLE), attributes)
            for name in WHOLE:
                assert client.value(name, None) == ours[name].value, (name, attributes)
            expected = {e.experiment: e.variation_key for one in ours.values() for e in one.exposures}
            assert {e.experiment: e.variation_key for e in reported} == expected


def corpus_payload(context: dict[str, Any]) -> dict[str, Any]:
    more = {key: context[key] for key in ("savedGroups", "contextualBandits") if key in context}
    return {"features": {**context.get("features", {}), "byline.other": {"defaultValue": 0}}, **more}


@pytest.fixture(scope="module")
def corpus_url() -> Generator[str]:
    with remote_evaluator({str(n): corpus_payload(case[1]) for n, case in enumerate(CORPUS)}) as url:
        yield url


@needs_growthbook_js
@pytest.mark.parametrize("number", range(len(CORPUS)), ids=lambda number: CORPUS[number][0])
def test_the_corpus_comes_out_right_through_the_official_evaluator(corpus_url, number):
    _, context, feature, expected = CORPUS[number]
    attributes, forced = context.get("attributes", {}), context.get("forcedVariations")
    client = FeatureClient(RemoteEval(corpus_url, str(number), attributes, forced_variations=forced), SLOW)
    client.refresher._poll()
    assert client.refresher.problem is None
    assert client.value(feature, None) == expected["value"]
