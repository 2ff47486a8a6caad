"""Feature values for one request, by user, team and job: evaluated in a thread, never on the loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, TypeVar, cast

from byline.flags.fitting import MISFIT, fit
from byline.flags.growthbook_package import load_rules
from byline.flags.payload import Payload
from byline.identity.model import Actor

MAX_WAITING: Final = 64
T = TypeVar("T")
Attributes = Mapping[str, Any]


class Busy(Exception):
    """More evaluations wait than there is patience for."""


class Stopping(Exception):
    """The worker ends: nothing is evaluated any more."""


class Asked:
    """Whose values are wanted. `forced` variations and `url` are the caller's wishes, for its own eyes."""

    __slots__ = ("attributes", "forced", "forced_features", "url")

    def __init__(
        self,
        attributes: Attributes,
        forced: Mapping[str, int] | None = None,
        forced_features: Mapping[str, Any] | None = None,
        url: str = "",
    ) -> None:
        self.attributes = attributes
        self.forced = forced or {}
        self.forced_features = forced_features or {}
        self.url = url


def attributes_of(subject: Actor, job: str | None) -> dict[str, Any]:
    """What targeting rules may ask about a caller."""
    known = {
        "id": subject.id,
        "user": subject.username,
        "email": subject.email,
        "team": subject.team,
        "kind": subject.kind,
        "job": job,
    }
    return {name: value for name, value in known.items() if value is not None}


class RequestFeatures:
    """`payload` says what the rules are right now; `is_expected`, whether there will be any.

    `evaluate` and `value` belong to the event loop.
    """

    def __init__(self, payload: Callable[[], Payload | None], *, is_expected: bool) -> None:
        self.payload = payload
        self.is_expected = is_expected
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="byline-feature-values")
        self._waiting = 0
        self._closed = False
        self._ready_for: Payload | None = None
        self._evaluator: Any = None

    async def value(self, name: str, default: T, attributes: Attributes) -> T:
        """The default for a feature that isn't there, is of another type, or can't be evaluated in time."""
        payload = self.payload()
        if payload is None or name not in payload.features:
            return default
        try:
            found = fit((await self._run(self._evaluate_one, payload, name, Asked(attributes)))[0], default)
        except Exception:  # noqa: BLE001 - a feature read never raises
            return default
        return default if found is MISFIT else cast("T", found)

    async def evaluate(self, payload: Payload, asked: Asked) -> dict[str, Any]:
        """Every feature as GrowthBook's remote evaluators answer it. Raises Busy, Stopping, PayloadRefused."""
        return await self._run(self._evaluate_all, payload, asked)

    def close(self) -> None:
        """On the loop. A request that was taken before may get here only afterwards: it must not find the
        pool shut."""
        self._closed = True
        self._pool.shutdown(wait=False, cancel_futures=True)

    async def _run(self, work: Callable[..., Any], *arguments: object) -> Any:
        if self._closed:
            raise Stopping
        if self._waiting >= MAX_WAITING:
            raise Busy
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, work, *arguments)
        finally:
            self._waiting -= 1

    # in the thread

    def _evaluate_all(self, payload: Payload, asked: Asked) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for name in payload.features:
            if name in asked.forced_features:
                found[name] = {"defaultValue": asked.forced_features[name]}
                continue
            value, tracks = self._evaluate_one(payload, name, asked)
            found[name] = {"defaultValue": value}
            if tracks:
                found[name]["rules"] = [{"force": value, "tracks": tracks}]
        return found

    def _evaluate_one(self, payload: Payload, name: str, asked: Asked) -> tuple[Any, list[Any]]:
        feature = payload.features[name]
        if not feature.rules:
            return feature.defaultValue, []
        rules = load_rules()
        if self._ready_for is not payload:
            self._evaluator, self._ready_for = rules.RuleEvaluator(payload), payload
        return self._evaluator.tracks(name, asked.attributes, rules.Forced(asked.forced, asked.url))
