"""Header sets of the unified family, written relative to the moment of the answer.

Each case is held against the reader here and, marked `real_client`, against what Claude Code itself
reports for the same headers. `expected` are the fields of a QuotaSnapshot that must be as said.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

PREFIX = "anthropic-ratelimit-unified-"
FIVE_HOURS, SEVEN_DAYS = 5 * 3600, 7 * 86_400


@dataclass(frozen=True)
class Case:
    name: str
    headers: Mapping[str, str | float]
    """Names after the prefix. A `...reset` is seconds from the answer on, as is one in `expected`."""
    expected: Mapping[str, Any] = field(default_factory=dict)
    status_code: int = 200

    def lines(self, now: int) -> dict[str, str]:
        return {PREFIX + name: str(_absolute(name, value, now)) for name, value in self.headers.items()}

    def expectation(self, now: int) -> dict[str, Any]:
        return {name: _absolute(name, value, now) for name, value in self.expected.items()}


def _absolute(name: str, value: Any, now: int) -> Any:
    is_time = name.endswith(("reset", "resets_at")) and isinstance(value, int)
    return now + value if is_time else value


def left(window_s: int, elapsed: float) -> int:
    return round(window_s * (1 - elapsed))


def window(
    claim: str, used: float | None = None, reset: int | None = None, **more: str | float
) -> dict[str, Any]:
    fields = {
        "utilization": used,
        "reset": reset,
        **{name.replace("_", "-"): text for name, text in more.items()},
    }
    return {f"{claim}-{name}": value for name, value in fields.items() if value is not None}


def five(used: float, elapsed: float, **more: str | float) -> dict[str, Any]:
    return window("5h", used, left(FIVE_HOURS, elapsed), **more)


def week(used: float, elapsed: float, **more: str | float) -> dict[str, Any]:
    return window("7d", used, left(SEVEN_DAYS, elapsed), **more)


ALLOWED = {"status": "allowed", "rate_limit_type": None, "utilization": None, "surpassed_threshold": None}


def _warned(
    kind: str, used: float | None, reset: int | None, threshold: float | None = None
) -> dict[str, Any]:
    return {
        "status": "allowed_warning",
        "rate_limit_type": kind,
        "utilization": used,
        "resets_at": reset,
        "surpassed_threshold": threshold,
    }


def _threshold_cases() -> list[Case]:
    day = 86_400
    summary = {"status": "allowed", "reset": 3600, "representative-claim": "seven_day"}
    both = window("5h", 0.8, 7200, surpassed_threshold=0.75) | window(
        "7d", 0.96, day, surpassed_threshold=0.95
    )
    oi = window("7d_oi", 0.81, 2 * day, surpassed_threshold=0.75)
    overage = window("overage", 0.96, 3 * day, surpassed_threshold=0.95) | {"overage-status": "allowed"}
    return [
        Case("5h threshold", {"status": "allowed", **window("5h", 0.77, 7200, surpassed_threshold=0.75)}, _warned("five_hour", 0.77, 7200, 0.75)),
        Case("7d threshold", {"status": "allowed_warning", **window("7d", 0.96, day, surpassed_threshold=0.95)}, _warned("seven_day", 0.96, day, 0.95)),
        Case("5h wins over 7d and over the claim", summary | both, _warned("five_hour", 0.8, 7200, 0.75)),
        Case("7d_oi threshold", {"status": "allowed", **oi}, _warned("seven_day_overage_included", 0.81, 2 * day, 0.75)),
        Case("overage threshold", {"status": "allowed", **overage}, _warned("overage", 0.96, 3 * day, 0.95)),
        Case("7d_oi before overage", {"status": "allowed", **overage, **oi}, _warned("seven_day_overage_included", 0.81, 2 * day, 0.75)),
        Case("7d before overage", summary | window("7d", 0.8, day, surpassed_threshold=0.75) | overage, _warned("seven_day", 0.8, day, 0.75)),
        Case("7d before 7d_oi", summary | window("7d", 0.8, day, surpassed_threshold=0.75) | oi, _warned("seven_day", 0.8, day, 0.75)),
        Case("7d_opus threshold is not ours to warn of", {"status": "allowed", **window("7d_opus", 0.9, day, surpassed_threshold=0.75)}, ALLOWED),
        Case("7d_sonnet threshold is not ours to warn of", {"status": "allowed", **window("7d_sonnet", 0.9, day, surpassed_threshold=0.75)}, ALLOWED),
        Case("threshold without utilization", {"status": "allowed", "5h-surpassed-threshold": 0.75}, _warned("five_hour", None, None, 0.75)),
        Case("threshold without the window's reset", summary | window("5h", 0.8, surpassed_threshold=0.75), _warned("five_hour", 0.8, None, 0.75)),
        Case("threshold above one", {"status": "allowed", **window("5h", 1.05, 60, surpassed_threshold=1.0)}, _warned("five_hour", 1.05, 60, 1.0)),
        Case("threshold below the floor of notices", {"status": "allowed", **window("5h", 0.3, 60, surpassed_threshold=0.25)}, _warned("five_hour", 0.3, 60, 0.25)),
        Case("threshold that is no number", {"status": "allowed", **window("5h", 0.3, 60, surpassed_threshold="high")}),
        Case("no status at all, but a threshold", window("5h", 0.8, 60, surpassed_threshold=0.75), _warned("five_hour", 0.8, 60, 0.75)),
    ]  # fmt: skip


def _pace_cases() -> list[Case]:
    def fives(used: float, elapsed: float) -> Case:
        warns = used >= 0.9 and elapsed <= 0.72
        expected = _warned("five_hour", used, left(FIVE_HOURS, elapsed)) if warns else ALLOWED
        return Case(f"5h {used} at {elapsed}", {"status": "allowed", **five(used, elapsed)}, expected)

    def weeks(used: float, elapsed: float, warns: bool) -> Case:
        expected = _warned("seven_day", used, left(SEVEN_DAYS, elapsed)) if warns else ALLOWED
        return Case(f"7d {used} at {elapsed}", {"status": "allowed", **week(used, elapsed)}, expected)

    both = {"status": "allowed", **five(0.95, 0.4), **week(0.8, 0.4)}
    return [
        *(fives(used, at) for used, at in ((0.91, 0.5), (0.91, 0.8), (0.89, 0.5), (0.90, 0.7), (0.95, 0.74), (0.99, 0.1))),
        *(
            weeks(used, at, warns)
            for used, at, warns in (
                (0.76, 0.5, True), (0.76, 0.65, False), (0.51, 0.3, True), (0.51, 0.4, False), (0.26, 0.1, True),
                (0.26, 0.2, False), (0.24, 0.1, False), (0.75, 0.58, True), (0.50, 0.33, True), (0.95, 0.95, False),
            )
        ),
        Case("5h pace before 7d pace", both, _warned("five_hour", 0.95, left(FIVE_HOURS, 0.4))),
        Case("a threshold beats another window's pace", both | {"7d-surpassed-threshold": 0.75}, _warned("seven_day", 0.8, left(SEVEN_DAYS, 0.4), 0.75)),
        Case("a reset in the past is a window that is over", {"status": "allowed", **window("5h", 0.95, -60)}, ALLOWED),
        Case("utilization without a reset runs ahead of nothing", {"status": "allowed", **window("5h", 0.95)}, ALLOWED),
    ]  # fmt: skip


def _status_cases() -> list[Case]:
    rejected = {"status": "rejected", "reset": 3600, "representative-claim": "five_hour"}
    full = window("5h", 1.0, 3600, status="rejected", surpassed_threshold=1.0)
    over = {"is_using_overage": True, "status": "rejected", "rate_limit_type": "five_hour"}
    real_200 = {
        **window("5h", 0.01, 9000, status="allowed"), **window("7d", 0.0, 300_000, status="allowed"),
        "fallback-percentage": 0.5, "overage-disabled-reason": "org_level_disabled", "overage-status": "rejected",
        "representative-claim": "five_hour", "reset": 9000, "status": "allowed",
    }  # fmt: skip
    real_429 = {
        "status": "rejected", "representative-claim": "seven_day_overage_included", "reset": 51_811,
        **window("7d_oi", 1.0, 51_811, status="rejected", surpassed_threshold=1.0),
        **window("5h", 0.0, 9000, status="allowed"),
        **window("7d", 0.94, 51_811, status="allowed_warning", surpassed_threshold=0.75),
        "overage-status": "rejected", "overage-disabled-reason": "org_level_disabled",
    }  # fmt: skip
    cap = {"status": "rejected", "reset": 3600, "overage-reset": 3600, "overage-utilization": 1.05, "overage-period": "daily", "overage-surpassed-threshold": 1, "overage-disabled-reason": "org_spend_cap_reached"}  # fmt: skip
    return [
        Case("no headers", {}, ALLOWED),
        Case("a usual answer", real_200, {"status": "allowed", "rate_limit_type": "five_hour", "resets_at": 9000, "utilization": None, "overage_status": "rejected", "overage_disabled_reason": "org_level_disabled"}),
        Case("a bare warning is downgraded", {"status": "allowed_warning", **week(0.95, 0.95)}, ALLOWED),
        Case("rejected, overage allowed", rejected | full | {"overage-status": "allowed", "overage-reset": 99}, over | {"utilization": None, "overage_resets_at": 99}),
        Case("rejected, overage near its cap", rejected | full | {"overage-status": "allowed_warning", "overage-utilization": 0.96}, over | {"overage_utilization": 0.96}),
        Case("rejected, overage rejected", rejected | full | {"overage-status": "rejected"}, {"status": "rejected", "is_using_overage": False}),
        Case("rejected without a word on overage", rejected, {"status": "rejected", "is_using_overage": False, "resets_at": 3600}),
        Case("overage in use is another fact", {"status": "allowed", "overage-in-use": "true", "overage-status": "allowed"}, {"status": "allowed", "is_using_overage": False, "overage_in_use": True}),
        Case("overage not in use", {"status": "allowed", "overage-in-use": "false"}, {"overage_in_use": False}),
        Case("429 without headers", {}, {"status": "rejected", "rate_limit_type": None}, 429),
        Case("429 that says allowed", {"status": "allowed", "reset": 60, "representative-claim": "seven_day"}, {"status": "rejected", "rate_limit_type": "seven_day", "resets_at": 60}, 429),
        Case("429 of one model's pool", real_429, {"status": "rejected", "rate_limit_type": "seven_day_overage_included", "resets_at": 51_811}, 429),
        Case("429 of a week", {"status": "rejected", "reset": 60, "representative-claim": "seven_day"}, {"rate_limit_type": "seven_day"}, 429),
        Case("429 of a gateway's cap", cap, {"status": "rejected", "rate_limit_type": None, "overage_status": None, "overage_disabled_reason": "org_level_disabled_until", "overage_utilization": 1.05, "overage_period": "daily", "resets_at": 3600}, 429),
        Case("429 while overage goes on", rejected | {"overage-status": "allowed"}, {"status": "rejected", "is_using_overage": True}, 429),
        Case("unknown claim", {"status": "rejected", "reset": 60, "representative-claim": "nine_day"}, {"rate_limit_type": "nine_day", "status": "rejected"}),
        Case("unknown status", {"status": "resting", "reset": 60}, {"status": "resting"}),
        Case("reset that is no number", {"status": "rejected", "reset": "soon"}, {"status": "rejected", "resets_at": None}),
        Case("fallback offered", {"status": "allowed", "fallback": "available"}, {"unified_rate_limit_fallback_available": True}),
        Case("fallback percentage alone", {"status": "allowed", "fallback-percentage": 0.5}, {"unified_rate_limit_fallback_available": False}),
        *(
            Case(f"overage is off: {reason}", rejected | {"overage-status": "rejected", "overage-disabled-reason": reason}, {"overage_disabled_reason": reason})
            for reason in ("overage_not_provisioned", "org_level_disabled", "org_level_disabled_until", "out_of_credits", "seat_tier_level_disabled", "member_level_disabled", "seat_tier_zero_credit_limit", "group_zero_credit_limit", "member_zero_credit_limit", "org_service_level_disabled", "no_limits_configured", "fetch_error", "unknown")
        ),
        Case("the gateway's line at 0 %", {"status": "allowed", "overage-status": "allowed", "representative-claim": "overage", "overage-utilization": "0.00", "reset": 900, "overage-reset": 900}, {"status": "allowed", "rate_limit_type": "overage"}),
        Case("the gateway's line at 76 %", {"status": "allowed_warning", "overage-status": "allowed_warning", "representative-claim": "overage", "overage-utilization": 0.76, "overage-surpassed-threshold": 0.75, "reset": 900, "overage-reset": 900}, _warned("overage", 0.76, 900, 0.75)),
    ]  # fmt: skip


CASES = [*_threshold_cases(), *_pace_cases(), *_status_cases()]
