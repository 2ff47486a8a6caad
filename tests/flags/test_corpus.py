"""GrowthBook's cross-SDK corpus through payload, snapshot, disk and read path. Skipped where it isn't at hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.flags.conftest import CASES, growthbook_payload

from byline.flags.client import FeatureClient, FeatureOptions
from byline.flags.disk import DiskSnapshot
from byline.flags.payload import PayloadRefused, parse_payload
from byline.flags.reader import FeatureDetails
from byline.flags.rules import Forced, RuleEvaluator, decrypt
from byline.flags.snapshot import Exposure
from byline.flags.sources.source import Fetched

CORPUS: dict[str, Any] = json.loads(CASES.read_text()) if CASES.exists() else {}
pytestmark = pytest.mark.skipif(not CORPUS, reason="the corpus is not at hand")


def cases(kind: str) -> list[Any]:
    return [pytest.param(*case[1:], id=case[0]) for case in CORPUS.get(kind, ())]


def read(
    tmp_path: Path, context: dict[str, Any], features: dict[str, Any], name: str
) -> tuple[Any, FeatureDetails, list[Exposure]]:
    """Payload -> snapshot -> disk -> a fresh reader, and beside it memory: both must say the same."""
    more = {key: context[key] for key in ("savedGroups", "contextualBandits") if key in context}
    payload = parse_payload(growthbook_payload({**features, "byline.other": {"defaultValue": 0}}, **more))
    forced = Forced(context.get("forcedVariations"), context.get("url", ""))
    found = RuleEvaluator(payload).evaluate_all(context.get("attributes", {}), forced)
    reported: list[Exposure] = []
    enabled = context.get("enabled", True)
    client = FeatureClient(
        None, FeatureOptions(enabled=enabled), disk=DiskSnapshot(tmp_path, "k"), report=reported.append
    )
    client.fetched(Fetched(found), client.fetching())
    value = client.value(name, None)
    if enabled:
        restarted = FeatureClient(None, disk=DiskSnapshot(tmp_path, "k"))
        assert restarted.value(name, None) == client.value(name, None)
    return value, client.details(name), reported


SOURCES = {"force": "TARGETING_MATCH", "experiment": "SPLIT"}


@pytest.mark.parametrize(("context", "name", "expected"), cases("feature"))
def test_feature(tmp_path, context, name, expected):
    features = context.get("features", {})
    value, details, reported = read(tmp_path, context, features, name)
    assert value == expected["value"]
    assert type(value) is type(expected["value"]) or isinstance(value, (int, float))
    assert (details.rule_id or "") == expected["ruleId"]
    if expected["source"] == "unknownFeature":
        assert details.error_code == "FLAG_NOT_FOUND"
        return
    fallback = "DEFAULT" if features[name].get("rules") else "STATIC"
    assert details.reason == SOURCES.get(expected["source"], fallback)
    result = expected.get("experimentResult", {})
    if result.get("inExperiment"):
        assert details.variant == result["key"]
    own = [each for each in reported if each.experiment == expected.get("experiment", {}).get("key")]
    if result.get("inExperiment") and result["hashUsed"]:
        assert [(each.variation, each.variation_key) for each in own] == [
            (result["variationId"], result["key"])
        ]


def as_feature(experiment: dict[str, Any]) -> dict[str, Any]:
    """An experiment in code, as the rule that a payload would carry. Its control is the default."""
    return {"defaultValue": experiment["variations"][0], "rules": [experiment]}


def is_code_only(context: dict[str, Any], experiment: dict[str, Any]) -> bool:
    return "qaMode" in context or "force" in experiment or not experiment.get("active", True)


def runs() -> list[Any]:
    return [case for case in cases("run") if not is_code_only(*case.values[:2])]


@pytest.mark.parametrize(("context", "experiment", "value", "in_experiment", "hash_used"), runs())
def test_run(tmp_path, context, experiment, value, in_experiment, hash_used):
    features = {**context.get("features", {}), "f": as_feature(experiment)}
    found, details, reported = read(tmp_path, context, features, "f")
    if not context.get("enabled", True):
        assert (found, details.reason) == (None, "DISABLED")
        return
    assert found == value
    assert (details.reason == "SPLIT") == in_experiment
    exposed = [each for each in reported if each.experiment == experiment["key"]]
    assert len(exposed) == (1 if in_experiment and hash_used else 0)


def test_the_experiments_that_no_payload_can_carry_are_these_and_no_others():
    """`active` and `force` (by number) are fields of experiments in code, and `qaMode` is a switch of an
    SDK's instance. A payload's rules have none of them; overrides do here what `qaMode` does there.
    """
    carried = {case.id for case in runs()}
    left = sorted(case.id for case in cases("run") if case.id not in carried)
    assert left == sorted(
        [
            "Skips experiments in QA mode",
            "Works in QA mode if forced in context",
            "Works in QA mode if forced in experiment",
            "coverage take precendence over forced",
            "high forced variation",
            "negative forced variation",
            "querystring force with inactive",
            "skip inactive experiments",
        ]
    )


@pytest.mark.parametrize("case", CORPUS.get("hash", ()), ids=str)
def test_hash(tmp_path, case):
    """A rollout from the expected bucket on includes, one from just above it does not."""
    seed, value, version, expected = case

    def includes(low: float) -> bool:
        # GrowthBook takes an empty seed for none, so such a feature's own key has to be the seed.
        rule = {"force": True, "seed": seed, "hashVersion": version, "range": [low, 1.1]}
        features = {seed or "": {"defaultValue": False, "rules": [rule]}}
        return read(tmp_path, {"attributes": {"id": value}}, features, seed)[0]

    if expected is None:
        assert not includes(0)
    else:
        assert includes(expected)
        assert not includes(expected + 0.00001)


@pytest.mark.parametrize("case", CORPUS.get("decrypt", ()), ids=lambda case: case[0])
def test_decrypt(case):
    _, text, key, expected = case
    document = json.dumps({"encryptedFeatures": text}).encode()
    if expected is None:
        with pytest.raises(PayloadRefused, match="decrypted"):
            parse_payload(document, key)
        return
    assert decrypt(text, key) == expected
    try:
        features = json.loads(expected)
    except ValueError:
        with pytest.raises(PayloadRefused, match="no JSON"):
            parse_payload(document, key)
    else:
        payload = parse_payload(document, key)
        assert payload.raw["features"] == features
        assert payload.was_encrypted


@pytest.mark.parametrize(
    ("context", "docs", "name", "expected"),
    [pytest.param(case[1], case[2], case[3], case[4], id=case[0]) for case in CORPUS.get("stickyBucket", ())],
)
def test_sticky_buckets_pass_through(context, docs, name, expected):
    from growthbook import InMemoryStickyBucketService

    service = InMemoryStickyBucketService()
    for doc in docs:
        service.save_assignments(doc)
    payload = parse_payload(growthbook_payload(context["features"]))
    found = RuleEvaluator(payload, service).evaluate(name, context["attributes"])
    assert found is not None
    assert found.variant == (expected["key"] if expected is not None else None)
