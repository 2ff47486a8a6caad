"""Tells the destinations what they did not get: drop counts as an event, beside the events that arrive."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from byline.telemetry import catalogue
from byline.telemetry.counters import Reason
from byline.telemetry.event import Event
from byline.telemetry.verified import i_verified_this_is_not_code_or_filepaths

INTERVAL_S = 60.0
NOT_LOSSES: frozenset[Reason] = frozenset({"sampled", "killed", "not_allowed"})
"""Left out on purpose, and known from the configuration."""


class LossReport:
    """Events about what was newly dropped, at most once in `interval_s`."""

    def __init__(
        self, losses: Callable[[], Mapping[str, Mapping[Reason, int]]], interval_s: float = INTERVAL_S
    ) -> None:
        self._losses = losses
        self._interval_s = interval_s
        self._told: dict[tuple[str, Reason], int] = {}
        self._next_at = 0.0

    def due(self, now: float) -> Iterator[Event]:
        if now < self._next_at:
            return
        self._next_at = now + self._interval_s
        for sink, dropped in self._losses().items():
            for reason, count in dropped.items():
                new = count - self._told.get((sink, reason), 0)
                if new > 0 and reason not in NOT_LOSSES:
                    self._told[sink, reason] = count
                    yield _event(sink, reason, new, now)


def _event(sink: str, reason: Reason, count: int, now: float) -> Event:
    values = {
        "sink": i_verified_this_is_not_code_or_filepaths(sink),
        "reason": i_verified_this_is_not_code_or_filepaths(reason),
        "count": count,
    }
    return Event(catalogue.EVENTS_DROPPED.name, values, now)
