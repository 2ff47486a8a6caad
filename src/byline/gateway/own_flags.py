"""The gateway's own feature flags: what an operator may change while it serves.

Each has a safe default and a rule for what it may be; a value against the rule is the default's, said
once. Values are applied when they change, so that no request pays for a read.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any, Final, Generic, TypeVar

import msgspec

from byline.gateway.own_events import LEDGER_SINK
from byline.quota.early_warning import DEFAULT_RULES, EarlyWarningRules, Pace

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
    return all(type(rate) in (int, float) and 0 <= rate <= 1 for rate in value.values())


def _are_sinks(value: list[Any]) -> bool:
    return all(name == LEDGER_SINK for name in value)


def early_warning_rules(windows: dict[str, Any]) -> EarlyWarningRules:
    """Windows that are not named keep the built-in paces. Raises msgspec.ValidationError."""
    given = msgspec.convert(windows, dict[str, tuple[Pace, ...]])
    return EarlyWarningRules({**DEFAULT_RULES.windows, **given})


def _are_paces(value: dict[str, Any]) -> bool:
    try:
        given = early_warning_rules(value).windows.values()
    except msgspec.ValidationError:
        return False
    return all(pace.utilization >= 0 and 0 <= pace.elapsed <= 1 for paces in given for pace in paces)


DRAIN_TIMEOUT_S: Final = OwnFlag(
    "gateway.drain_timeout_s", 30.0, _between(0, 3600), "a number of seconds, 0 to 3600",
    "How long an abandoned answer is read on for its usage; 0 cancels at once.",
)  # fmt: skip
DRAIN_MAX_BYTES: Final = OwnFlag(
    "gateway.drain_max_bytes", 16 * 1024 * 1024, _between(0, 2**40), "a whole number, 0 or more",
    "How much of an abandoned answer is read on.",
)  # fmt: skip
DRAIN_MAX_STREAMS: Final = OwnFlag(
    "gateway.drain_max_streams", 64, _between(0, 1_000_000), "a whole number, 0 or more",
    "Abandoned answers read on at the same time, per worker.",
)  # fmt: skip
LOG_LEVEL: Final = OwnFlag(
    "gateway.log_level", "info", {"debug", "info", "warning", "error"}.__contains__,
    "debug, info, warning or error", "Lowest level of what the server's processes say on stderr.",
)  # fmt: skip
EVENT_SAMPLE_RATES: Final = OwnFlag[dict[str, Any]](
    "gateway.event_sample_rates", {}, _are_rates, "an object of numbers from 0 to 1",
    "By event name, which share of the gateway's own events is kept; 1 for those not named.",
)  # fmt: skip
SINKS_OFF: Final = OwnFlag[list[Any]](
    "gateway.sinks_off", [], _are_sinks, f"a list of sinks, of which there is {LEDGER_SINK}",
    f"Sinks that get none of the gateway's own events for now; `{LEDGER_SINK}` is the ledger.",
)  # fmt: skip
EARLY_WARNINGS: Final = OwnFlag[dict[str, Any]](
    "gateway.early_warnings", {}, _are_paces, "an object of lists of {utilization, elapsed}, 0 or more and 0 to 1",
    "By quota window (`five_hour`, `seven_day`), a list of `{utilization, elapsed}`: warn at that use or more so early; windows not named keep the built-in ones.",
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


_MISFIT: Final = object()


class Steering:
    """Applies own flags to the parts they steer. `value` must not block, as feature reads don't."""

    def __init__(
        self,
        value: Callable[[str, Any], Any],
        is_misfit: Callable[[str, Any], bool] = lambda _name, _default: False,
    ) -> None:
        """`is_misfit`: whether a value gave way to the default because it is of another type."""
        self._value = value
        self._is_misfit = is_misfit
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
        refused: object = _MISFIT if self._is_misfit(flag.name, default) else value
        if refused is not _MISFIT and (value is None or flag.allowed(value)):
            self._refused.pop(flag.name, None)
            return default if value is None else value
        if flag.name not in self._refused or self._refused[flag.name] != refused:
            self._refused[flag.name] = refused
            log.warning("feature %s is not %s: its default is used", flag.name, flag.rule)
        return default
