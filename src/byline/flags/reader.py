"""The read path: overrides, then one whole snapshot, then the default. No I/O, no lock, no exception.

All that a read needs stands in one immutable state, replaced as a whole by the refresh thread. `quick`
holds what can be handed out without a further look; the first read of a name puts it there.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Container
from typing import Any, Final, Literal, TypeVar, cast

import msgspec

from byline.flags.exposures import ExposureLog
from byline.flags.fitting import MISFIT, fit
from byline.flags.overrides import Overrides
from byline.flags.snapshot import ErrorCode, Evaluated, Features, Json, Layer, Reason, Snapshot, changed_names

T = TypeVar("T")
_UNREAD: Final[Any] = object()
_SCALARS: Final = (bool, int, float, str)


class FeatureDetails(msgspec.Struct, frozen=True, kw_only=True):
    """A value with its origin, in OpenFeature's words."""

    name: str
    value: Json
    layer: Layer
    reason: Reason
    variant: str | None = None
    rule_id: str | None = None
    error_code: ErrorCode | None = None
    age_s: float | None = None
    """Since the source last said so."""


class _Everything:
    def __contains__(self, name: object) -> bool:
        return True


_EVERYTHING: Final = _Everything()


class _State:
    """What reads go by. Only `quick` changes, and only by adding what follows from the rest."""

    __slots__ = ("features", "fetched_at", "layer", "overrides", "quick", "worth_a_look")

    def __init__(
        self,
        overrides: Overrides,
        features: Features,
        layer: Literal["memory", "disk"] | None,
        fetched_at: float,
    ) -> None:
        self.overrides = overrides
        self.features = features
        self.layer: Literal["memory", "disk"] | None = layer
        self.fetched_at = fetched_at
        merged = overrides.merged()
        self.quick: dict[str, Any] = {
            name: value for name, value in merged.items() if isinstance(value, _SCALARS)
        }
        # Before the first load any name is: the read may have to be remembered.
        self.worth_a_look: Container[str] = _EVERYTHING
        if layer == "memory":
            self.worth_a_look = frozenset((*merged, *features))


class FeatureReader:
    """Reads may come from any thread; `publish` and its like from one at a time."""

    def __init__(
        self,
        overrides: Overrides,
        exposures: ExposureLog,
        *,
        enabled: bool = True,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.enabled = enabled
        self.counts: Counter[str] = Counter()
        """Reads that got their default for a reason worth a look: `type_mismatch`, `error`."""
        self._exposures = exposures
        self._now = now
        self._state = _State(overrides, {}, None, 0.0)

    # reading

    def value(self, name: str, default: T) -> T:
        """A stored null comes back as None, whatever the default's type."""
        try:
            state = self._state
            found = state.quick.get(name, _UNREAD)
            if found.__class__ is default.__class__:
                return found
            return self._look_up(state, name, default) if name in state.worth_a_look else default
        except Exception:  # noqa: BLE001 - a read never raises, not even for a name that can't be hashed
            self.counts["error"] += 1
            return default

    def details(self, name: str, default: Json = None) -> FeatureDetails:
        """Like `value`, but says where from and why. A look, not a use: reports no exposure."""
        state = self._state
        for layer, values in (("env", state.overrides.env), ("config", state.overrides.config)):
            if name in values:
                return _detail(name, values[name], default, cast("Layer", layer), "STATIC")
        if not self.enabled:
            return FeatureDetails(name=name, value=default, layer="default", reason="DISABLED")
        entry = state.features.get(name)
        if entry is None or state.layer is None:
            code: ErrorCode = "FLAG_NOT_FOUND" if state.layer else "PROVIDER_NOT_READY"
            return FeatureDetails(name=name, value=default, layer="default", reason="ERROR", error_code=code)
        found = _detail(
            name, entry.value, default, state.layer, "CACHED" if state.layer == "disk" else entry.reason
        )
        age_s = max(0.0, self._now() - state.fetched_at)
        return msgspec.structs.replace(found, variant=entry.variant, rule_id=entry.rule_id, age_s=age_s)

    def _look_up(self, state: _State, name: str, default: T) -> T:
        for values in (state.overrides.env, state.overrides.config):
            if name in values:
                return self._fitting(values[name], default)
        if not self.enabled:
            return default
        entry = state.features.get(name)
        if entry is not None and entry.exposures:
            self._exposures.report(entry.exposures)
        elif state.layer != "memory":
            self._exposures.remember(name)
        if entry is None:
            return default
        if isinstance(entry.value, _SCALARS):
            state.quick[name] = entry.value
        return self._fitting(entry.value, default)

    def _fitting(self, value: Json, default: T) -> T:
        fitted = fit(value, default)
        if fitted is MISFIT:
            self.counts["type_mismatch"] += 1
            return default
        # Lists and objects are handed out as copies: what one reader does to its own is nobody else's.
        return (
            msgspec.json.decode(msgspec.json.encode(fitted)) if isinstance(fitted, (list, dict)) else fitted
        )

    # what the refresh thread does

    @property
    def has_values(self) -> bool:
        return bool(self._state.features)

    @property
    def names(self) -> frozenset[str]:
        """Every name that has a value of its own."""
        state = self._state
        return frozenset((*state.overrides.env, *state.overrides.config, *state.features))

    @property
    def layer(self) -> Literal["memory", "disk"] | None:
        return self._state.layer

    @property
    def fetched_at(self) -> float | None:
        return self._state.fetched_at if self._state.layer else None

    @property
    def features(self) -> Features:
        return self._state.features

    @property
    def overrides(self) -> Overrides:
        return self._state.overrides

    def show_disk(self, snapshot: Snapshot) -> None:
        """What an earlier run left, until something is fetched."""
        if self._state.layer is None:
            self._state = _State(self._state.overrides, snapshot.features, "disk", snapshot.fetched_at)

    def publish(self, features: Features, fetched_at: float) -> frozenset[str]:
        """Puts a fetched snapshot in place, whole; says whose value changed."""
        before = self._state
        self._state = _State(before.overrides, features, "memory", fetched_at)
        if before.layer != "memory":
            self._report_remembered(features)
        return changed_names(before.features, features, before.overrides.merged().keys())

    def confirm(self, fetched_at: float) -> None:
        """The source says that nothing has changed."""
        self._state.fetched_at = fetched_at

    def override(self, overrides: Overrides) -> frozenset[str]:
        """Puts other overrides in place; says whose value changed."""
        before = self._state
        self._state = _State(overrides, before.features, before.layer, before.fetched_at)
        return changed_names(_effective(before), _effective(self._state))

    def empty(self) -> None:
        """Forgets every value but the overrides."""
        self._state = _State(self._state.overrides, {}, None, 0.0)
        self._exposures.forget()

    def _report_remembered(self, features: Features) -> None:
        for name in self._exposures.take_remembered():
            if (entry := features.get(name)) is not None:
                self._exposures.report(entry.exposures)


def _detail(name: str, value: Json, default: Json, layer: Layer, reason: Reason) -> FeatureDetails:
    fitted = fit(value, default)
    if fitted is MISFIT:
        return FeatureDetails(
            name=name, value=default, layer="default", reason="ERROR", error_code="TYPE_MISMATCH"
        )
    return FeatureDetails(name=name, value=fitted, layer=layer, reason=reason)


def _effective(state: _State) -> dict[str, Evaluated]:
    return {**state.features, **{name: Evaluated(value) for name, value in state.overrides.merged().items()}}
