"""GrowthBook's rules, evaluated by its own package as a pure function. Alone in knowing that package.

Its import takes a third of a second, so it happens here, on the refresh thread, and only for payloads
that have rules. None of its I/O is used.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, cast

from growthbook import Experiment, Result, UserContext
from growthbook import decrypt as growthbook_decrypt
from growthbook.common_types import (
    AbstractStickyBucketService,
    EvaluationContext,
    GlobalContext,
    Options,
    StackContext,
    features_from_dict,
)
from growthbook.core import eval_feature

from byline.flags.payload import Payload, PayloadRefused
from byline.flags.snapshot import Evaluated, Exposure, Json, Reason
from byline.flags.sticky import StickyBuckets

log = logging.getLogger(__name__)

_REASONS: Mapping[str, Reason] = {"force": "TARGETING_MATCH", "experiment": "SPLIT"}


class Forced:
    """Variations that a caller insists on, and the page it asks for (`?experiment=1` forces one too)."""

    __slots__ = ("url", "variations")

    def __init__(self, variations: Mapping[str, int] | None = None, url: str = "") -> None:
        self.variations = dict(variations or {})
        self.url = url


_NOTHING_FORCED = Forced()


class RuleEvaluator:
    """One payload, made ready once. Evaluations may run in several threads."""

    def __init__(self, payload: Payload, sticky_buckets: StickyBuckets | None = None) -> None:
        """Raises PayloadRefused for rules that GrowthBook can't read."""
        raw = payload.raw
        try:
            self._global = GlobalContext(
                options=Options(
                    sticky_bucket_service=cast("AbstractStickyBucketService | None", sticky_buckets)
                ),
                features=features_from_dict(dict(raw["features"])),
                saved_groups=_mapping(raw.get("savedGroups")),
                contextual_bandits=_mapping(raw.get("contextualBandits")),
            )
        except (TypeError, ValueError, AttributeError):
            raise PayloadRefused("its rules can't be read") from None
        self._has_rules = {name for name, feature in payload.features.items() if feature.rules}
        self._sticky_buckets = sticky_buckets

    def evaluate_all(
        self, attributes: Mapping[str, Json], forced: Forced = _NOTHING_FORCED
    ) -> dict[str, Evaluated]:
        """A feature whose rules make the evaluator fail is left out, so that the others are served."""
        user = self._user(attributes, forced)
        found = {name: self._evaluate_safely(name, user) for name in self._global.features}
        return {name: evaluated for name, evaluated in found.items() if evaluated is not None}

    def evaluate(
        self, name: str, attributes: Mapping[str, Json], forced: Forced = _NOTHING_FORCED
    ) -> Evaluated | None:
        """None for a feature that isn't there."""
        if name not in self._global.features:
            return None
        return self._evaluate(name, self._user(attributes, forced), _Exposed(name))

    def tracks(self, name: str, attributes: Mapping[str, Json], forced: Forced) -> tuple[Json, list[Json]]:
        """A feature's value, and the exposures that go with it as GrowthBook's SDKs report them."""
        exposed = _Exposed(name)
        found = self._evaluate(name, self._user(attributes, forced), exposed)
        return found.value, [
            {"experiment": _scrubbed(experiment, result), "result": result.to_dict()}
            for experiment, result in exposed.seen
        ]

    def _evaluate_safely(self, name: str, user: UserContext) -> Evaluated | None:
        try:
            return self._evaluate(name, user, _Exposed(name))
        except Exception as error:  # noqa: BLE001 - whatever a hostile rule makes of the evaluator
            log.warning("the rules of feature %r can't be evaluated (%s)", name, type(error).__name__)
            return None

    def _evaluate(self, name: str, user: UserContext, exposed: _Exposed) -> Evaluated:
        context = EvaluationContext(
            user=user, global_ctx=self._global, stack=StackContext(), tracking_cb=exposed
        )
        result = eval_feature(name, context)
        variation = result.experimentResult
        fallback: Reason = "DEFAULT" if name in self._has_rules else "STATIC"
        return Evaluated(
            value=result.value,
            reason=_REASONS.get(result.source, fallback),
            variant=variation.key if variation is not None and variation.inExperiment else None,
            rule_id=result.ruleId,
            exposures=tuple(exposed.exposures()),
        )

    def _user(self, attributes: Mapping[str, Json], forced: Forced) -> UserContext:
        user = UserContext(
            attributes=dict(attributes), forced_variations=dict(forced.variations), url=forced.url
        )
        if self._sticky_buckets is not None:
            named = {name: str(value) for name, value in attributes.items()}
            user.sticky_bucket_assignment_docs = dict(self._sticky_buckets.get_all_assignments(named))
        return user


class _Exposed:
    """Collects the experiments that an evaluation went through, those of prerequisites included."""

    def __init__(self, feature: str) -> None:
        self._feature = feature
        self.seen: list[tuple[Experiment[Any], Result[Any]]] = []

    def __call__(self, experiment: Experiment[Any], result: Result[Any], user_context: UserContext) -> None:
        self.seen.append((experiment, result))

    def exposures(self) -> list[Exposure]:
        return [
            Exposure(self._feature, experiment.key, result.variationId, result.key, result.hashAttribute)
            for experiment, result in self.seen
        ]


def decrypt(text: Json, key: str) -> str:
    """Raises PayloadRefused."""
    try:
        return growthbook_decrypt(text, key)
    except Exception:  # noqa: BLE001 - a wrong key shows as one of many errors, none of them worth telling apart
        raise PayloadRefused("it can't be decrypted; check the decryption key") from None


def _scrubbed(experiment: Experiment[Any], result: Result[Any]) -> dict[str, Json]:
    """Without the targeting and the other variations: what this user may not know."""
    described = {name: value for name, value in experiment.to_dict().items() if name != "condition"}
    described["variations"] = [
        value if number == result.variationId else {} for number, value in enumerate(experiment.variations)
    ]
    return described


def _mapping(value: Json) -> dict[str, Any]:
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}
