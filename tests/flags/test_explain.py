from __future__ import annotations

import pytest
from tests.flags.conftest import parsed

from byline.flags.explain import explain

FEATURES = {
    "parent": {"defaultValue": False},
    "f": {
        "defaultValue": "default",
        "rules": [
            {"id": "needs-parent", "parentConditions": [{"id": "parent", "condition": {"value": True}}], "force": "p"},
            {"id": "by-team", "condition": {"team": "core"}, "force": "c"},
            {"id": "nobody", "coverage": 0, "force": "n", "hashAttribute": "team"},
            {"id": "filtered", "filters": [{"seed": "s", "ranges": [[0, 0]]}], "force": "x"},
            {"id": "exp", "key": "exp", "variations": ["a", "b"], "coverage": 1},
            {"id": "last", "force": "l"},
        ],
    },
    "plain": {"defaultValue": 3},
}  # fmt: skip


def outcomes(attributes: dict[str, object]) -> list[str]:
    _, steps = explain(parsed(FEATURES), "f", attributes)
    return [step.outcome for step in steps]


def test_each_rule_says_what_kept_it_from_matching():
    assert outcomes({"id": "u1", "team": "x"}) == [
        "prerequisites not met",
        "condition not met",
        "share of the rollout not met",
        "namespace or filters not met",
        "matched",
        "not reached",
    ]
    assert outcomes({"team": "core"})[1:3] == ["matched", "not reached"]


def test_an_experiment_without_its_attribute_says_so():
    found, steps = explain(parsed(FEATURES), "f", {"team": "x"})
    assert steps[4].outcome == "attribute 'id' is missing"
    assert steps[5].outcome == "matched"
    assert found is not None
    assert (found.value, found.rule_id) == ("l", "last")


@pytest.mark.parametrize("number", range(20))
def test_what_is_explained_is_what_is_served(number):
    from byline.flags.evaluation import evaluate_payload

    attributes = {"id": f"u{number}", "team": "core" if number % 2 else "x"}
    found, steps = explain(parsed(FEATURES), "f", attributes)
    assert found == evaluate_payload(parsed(FEATURES), attributes)["f"]
    assert found is not None
    assert [step.rule for step in steps if step.outcome == "matched"] == [found.rule_id]


def test_a_feature_without_rules_has_its_default_and_an_unknown_one_nothing():
    found, steps = explain(parsed(FEATURES), "plain", {})
    assert found is not None
    assert (found.value, steps) == (3, [])
    assert explain(parsed(FEATURES), "unknown", {}) == (None, [])
