"""The gateway's own feature flags: what an operator may change while it serves.

Each has a safe default and a rule for what it may be; a value against the rule is the default's, said
once. Values are applied when they change, so that no request pays for a read.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any, Final, Generic, TypeVar

import msgspec

T = TypeVar("T")
log = logging.getLogger(__name__)


class OwnFlag(msgspec.Struct, Generic[T], frozen=True):
    name: str
    default: T
    """Where `[...]` settings say the same thing, theirs is the default instead."""
    allowed: Callable[[T], bool]
    rule: str
    description: str


def _between(low: float, high: float) -> Callable[[float], bool]:
    return lambda value: low <= value <= high


def _are_rates(value: dict[str, Any]) -> bool:
    return all(isinstance(rate, int | float) and 0 <= rate <= 1 for rate in value.values())


def _are_names(value: list[Any]) -> bool:
    return all(isinstance(name, str) for name in value)


DRAIN_TIMEOUT_S: Final = OwnFlag(
    "gateway.drain_timeout_s", 30.0, _between(0, 3600), "0 to 3600",
    "How long an abandoned answer is read on for its usage; 0 cancels at once.",
)  # fmt: skip
DRAIN_MAX_BYTES: Final = OwnFlag(
    "gateway.drain_max_bytes", 16 * 1024 * 1024, _between(0, 2**40), "0 or more",
    "How much of an abandoned answer is read on.",
)  # fmt: skip
DRAIN_MAX_STREAMS: Final = OwnFlag(
    "gateway.drain_max_streams", 64, _between(0, 1_000_000), "0 or more",
    "Abandoned answers read on at the same time, per worker.",
)  # fmt: skip
LOG_LEVEL: Final = OwnFlag(
    "gateway.log_level", "info", {"debug", "info", "warning", "error"}.__contains__,
    "debug, info, warning or error", "Lowest level of what the server's processes say on stderr.",
)  # fmt: skip
EVENT_SAMPLE_RATES: Final = OwnFlag[dict[str, Any]](
    "gateway.event_sample_rates", {}, _are_rates, "an object of numbers from 0 to 1",
    "By event name, which share of telemetry events is kept; 1 for those not named.",
)  # fmt: skip
SINKS_OFF: Final = OwnFlag[list[Any]](
    "gateway.sinks_off", [], _are_names, "a list of names",
    "Telemetry sinks that get nothing for now.",
)  # fmt: skip
EARLY_WARNINGS: Final = OwnFlag[dict[str, Any]](
    "gateway.early_warnings", {}, lambda _: True, "an object",
    "By quota window (`five_hour`, `seven_day`), a list of `{utilization, elapsed}` at which to warn; empty for the built-in ones.",
)  # fmt: skip

OWN_FLAGS: Final[Sequence[OwnFlag[Any]]] = (
    DRAIN_TIMEOUT_S,
    DRAIN_MAX_BYTES,
    DRAIN_MAX_STREAMS,
    LOG_LEVEL,
    EVENT_SAMPLE_RATES,
    SINKS_OFF,
    EARLY_WARNINGS,
)


class Steering:
    """Applies own flags to the parts they steer. `value` must not block, as feature reads don't."""

    def __init__(self, value: Callable[[str, Any], Any]) -> None:
        self._value = value
        self._wired: list[Callable[[], None]] = []
        self._refused: dict[str, object] = {}

    def wire(self, flag: OwnFlag[T], apply: Callable[[T], object], default: T | None = None) -> None:
        """Calls `apply` with the flag's value now, and at each `refresh` that finds it changed."""
        fallback = flag.default if default is None else default
        current: list[T] = []

        def look() -> None:
            value = self.read(flag, fallback)
            if current != [value]:
                current[:] = [value]
                apply(value)

        self._wired.append(look)
        look()

    def refresh(self) -> None:
        """Values have changed. On the thread that the steered parts belong to."""
        for look in self._wired:
            try:
                look()
            except Exception:
                log.exception("a feature value could not be applied")

    def read(self, flag: OwnFlag[T], default: T) -> T:
        value = self._value(flag.name, default)
        if value is None:
            return default
        if flag.allowed(value):
            self._refused.pop(flag.name, None)
            return value
        if self._refused.get(flag.name) != value:
            self._refused[flag.name] = value
            log.warning("feature %s is not %s: its default is used", flag.name, flag.rule)
        return default
