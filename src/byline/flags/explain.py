"""Which rule of a feature gave its value, and why the rules before it did not.

Each condition of a rule is put to the evaluator alone, as a rule of its own: what the pure function
answers is what counts, and nothing of GrowthBook's semantics is written here a second time.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from byline.flags.growthbook_package import load_rules
from byline.flags.payload import Payload
from byline.flags.snapshot import Evaluated, Json

_PROBE: Final = "byline.probe"
_SHARE: Final = "share of the rollout"
_ASPECTS: Final[Mapping[str, tuple[str, ...]]] = {
    "prerequisites": ("parentConditions",),
    "condition": ("condition",),
    "namespace or filters": ("filters",),
    _SHARE: (
        "coverage",
        "range",
        "seed",
        "hashAttribute",
        "hashVersion",
        "fallbackAttribute",
    ),
}


class RuleStep(msgspec.Struct, frozen=True):
    rule: str
    """Its id, or its number from 1."""
    kind: str
    outcome: str
    """`matched`, `not reached`, or what kept it from matching."""
    detail: Json = None


def explain(
    payload: Payload, name: str, attributes: Mapping[str, Json]
) -> tuple[Evaluated | None, list[RuleStep]]:
    """None for a feature that isn't there. Raises PayloadRefused where GrowthBook is missing."""
    feature = payload.features.get(name)
    if feature is None:
        return None, []
    if not feature.rules:
        return Evaluated(feature.defaultValue), []
    found = load_rules().RuleEvaluator(payload).evaluate(name, attributes)
    steps: list[RuleStep] = []
    reached = True
    for number, rule in enumerate(feature.rules, 1):
        step = _step(payload, name, rule, number, attributes) if reached else _not_reached(rule, number)
        reached = reached and step.outcome != "matched"
        steps.append(step)
    return found, steps


def _step(
    payload: Payload, name: str, rule: dict[str, Any], number: int, attributes: Mapping[str, Json]
) -> RuleStep:
    label, kind = _label(rule, number), _kind(rule)
    if _passes(
        payload, {**rule, "key": rule.get("key") or name, "seed": rule.get("seed") or name}, attributes
    ):
        return RuleStep(label, kind, "matched", rule.get("condition"))
    hash_by = rule.get("hashAttribute") or "id"
    for aspect, keys in _ASPECTS.items():
        if aspect == _SHARE and not attributes.get(hash_by) and (kind == "experiment" or _is_split(rule)):
            return RuleStep(label, kind, f"attribute {hash_by!r} is missing")
        part = {key: rule[key] for key in keys if key in rule}
        if "coverage" in part or "range" in part:
            part.setdefault("seed", name)
        if part and not _passes(payload, {"force": True, **part}, attributes):
            return RuleStep(label, kind, f"{aspect} not met", {key: rule[key] for key in keys if key in rule})
    return RuleStep(label, kind, "not in the experiment" if kind == "experiment" else "no value to give")


def _passes(payload: Payload, rule: dict[str, Any], attributes: Mapping[str, Json]) -> bool:
    """Whether a feature that had this one rule would take its value from it."""
    raw = {**payload.raw, "features": {**payload.raw["features"], _PROBE: {"rules": [rule]}}}
    probe = msgspec.structs.replace(payload, raw=raw)
    found = load_rules().RuleEvaluator(probe).evaluate(_PROBE, attributes)
    return found is not None and found.reason in ("TARGETING_MATCH", "SPLIT")


def _is_split(rule: dict[str, Any]) -> bool:
    return "coverage" in rule or "range" in rule


def _not_reached(rule: dict[str, Any], number: int) -> RuleStep:
    return RuleStep(_label(rule, number), _kind(rule), "not reached")


def _label(rule: dict[str, Any], number: int) -> str:
    return str(rule.get("id") or number)


def _kind(rule: dict[str, Any]) -> str:
    return "experiment" if "variations" in rule or "contextualVariations" in rule else "force"
