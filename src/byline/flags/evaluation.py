"""Payload -> every feature's value. GrowthBook is needed only where there are rules."""

from __future__ import annotations

from collections.abc import Mapping

from byline.flags.growthbook_package import load_rules
from byline.flags.payload import Feature, Payload, PayloadRefused
from byline.flags.snapshot import Evaluated, Exposure, Json
from byline.flags.sticky import StickyBuckets

_EVALUATED_RULE = {"force", "tracks", "id"}
"""What a rule may hold that a remote evaluator has left behind."""


def evaluate_payload(
    payload: Payload,
    attributes: Mapping[str, Json],
    sticky_buckets: StickyBuckets | None = None,
) -> dict[str, Evaluated]:
    """By the rules, for one set of attributes. Raises PayloadRefused."""
    if not payload.has_rules:
        return {name: Evaluated(feature.defaultValue) for name, feature in payload.features.items()}
    return load_rules().RuleEvaluator(payload, sticky_buckets).evaluate_all(attributes)


def read_evaluated(payload: Payload) -> dict[str, Evaluated]:
    """What a remote evaluator answered. Raises PayloadRefused for rules it has left unevaluated."""
    return {name: _evaluated(name, feature) for name, feature in payload.features.items()}


def _evaluated(name: str, feature: Feature) -> Evaluated:
    if not feature.rules:
        return Evaluated(feature.defaultValue, "STATIC")
    rule = feature.rules[0]
    if "force" not in rule or not rule.keys() <= _EVALUATED_RULE:
        raise PayloadRefused("it holds rules that were not evaluated")
    exposures = tuple(_exposure(name, track) for track in rule.get("tracks") or ())
    own = next((exposure for exposure in reversed(exposures)), None)
    return Evaluated(
        value=rule["force"],
        reason="SPLIT" if own else "TARGETING_MATCH",
        variant=own.variation_key if own else None,
        rule_id=rule.get("id"),
        exposures=exposures,
    )


def _exposure(feature: str, track: Json) -> Exposure:
    try:
        experiment, result = track["experiment"], track["result"]
        variation = int(result["variationId"])
        return Exposure(
            feature=feature,
            experiment=str(experiment["key"]),
            variation=variation,
            variation_key=str(result.get("key", variation)),
            hash_attribute=str(result.get("hashAttribute") or "id"),
        )
    except (TypeError, KeyError, ValueError, AttributeError):
        raise PayloadRefused("an exposure in it can't be read") from None
