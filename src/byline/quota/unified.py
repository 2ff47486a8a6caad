"""Anthropic's `anthropic-ratelimit-unified-*`: the limits of subscriptions, and of gateways.

The summary follows what Claude Code makes of the same headers: a warning stands on a threshold that
was passed or on use that runs ahead of time, never on the server's bare `allowed_warning`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from byline.quota import values
from byline.quota.early_warning import DEFAULT_RULES, EarlyWarningRules, runs_ahead
from byline.quota.snapshot import FIVE_HOURS_S, SEVEN_DAYS_S, UNIFIED_PREFIX, Window

_CLAIMS = {
    "5h": "five_hour",
    "7d": "seven_day",
    "7d_oi": "seven_day_overage_included",
    "7d_opus": "seven_day_opus",
    "7d_sonnet": "seven_day_sonnet",
}
"""Claims the headers abbreviate; any other keeps its own name."""
_DURATIONS_S = {"5h": FIVE_HOURS_S}
_WINDOW_FIELDS = ("utilization", "reset", "status", "surpassed-threshold")
_NO_CLAIMS = frozenset({"slow", "fallback", "upgrade", "representative"})
"""First words of members of the family that describe no window."""
_WARNING_ORDER = ("five_hour", "seven_day", "seven_day_overage_included", "overage")
"""Windows whose passed threshold makes a warning, the first one found. Per-model windows don't: Claude
Code does not warn by them either."""
_OVERAGE_OPEN = frozenset({"allowed", "allowed_warning"})
_REPORTED_AS = {"org_spend_cap_reached": "org_level_disabled_until"}
"""A reason that exists on the wire alone; clients know it by the other name."""

Fields = dict[str, Any]
"""Fields of a QuotaSnapshot."""


def read_unified(
    headers: Mapping[str, str], now: float, *, refused: bool, rules: EarlyWarningRules = DEFAULT_RULES
) -> Fields:
    """`headers` by lower-case name; `refused`: the answer was a 429, which counts as rejected."""
    given = {
        name[len(UNIFIED_PREFIX) :]: value
        for name, value in headers.items()
        if name.startswith(UNIFIED_PREFIX)
    }
    if not given:
        return {}
    windows = _windows(given)
    fields: Fields = {"windows": windows, **_overage(given)}
    fields["unified_rate_limit_fallback_available"] = given.get("fallback") == "available"
    fields |= _summary(
        given, windows, "rejected" if refused else given.get("status") or "allowed", now, rules
    )
    rejected = fields["status"] == "rejected"
    fields["is_using_overage"] = rejected and fields["overage_status"] in _OVERAGE_OPEN
    return fields


def _summary(
    given: Mapping[str, str], windows: Mapping[str, Window], status: str, now: float, rules: EarlyWarningRules
) -> Fields:
    if status in _OVERAGE_OPEN:
        if (warning := _warning(windows, now, rules)) is not None:
            return warning
        status = "allowed"
    return {
        "status": status,
        "resets_at": values.epoch(given.get("reset")),
        "rate_limit_type": given.get("representative-claim") or None,
    }


def _warning(windows: Mapping[str, Window], now: float, rules: EarlyWarningRules) -> Fields | None:
    passed = (name for name in _WARNING_ORDER if _threshold(windows, name) is not None)
    early = (
        name for name in rules.windows if name in windows and runs_ahead(windows[name], name, now, rules)
    )
    name = next(passed, None) or next(early, None)
    if name is None:
        return None
    window = windows[name]
    return {
        "status": "allowed_warning",
        "resets_at": window.resets_at,
        "rate_limit_type": name,
        "utilization": window.utilization,
        "surpassed_threshold": window.surpassed_threshold,
    }


def _threshold(windows: Mapping[str, Window], name: str) -> float | None:
    window = windows.get(name)
    return None if window is None else window.surpassed_threshold


def _windows(given: Mapping[str, str]) -> dict[str, Window]:
    claims = dict.fromkeys(claim for name in given if (claim := _claim_of(name)))
    return {_CLAIMS.get(claim, claim): _window(given, claim) for claim in claims}


def _claim_of(name: str) -> str | None:
    for field in _WINDOW_FIELDS:
        claim = name.removesuffix(f"-{field}")
        if claim != name and claim.partition("-")[0] not in _NO_CLAIMS:
            return claim
    return None


def _window(given: Mapping[str, str], claim: str) -> Window:
    week = SEVEN_DAYS_S if claim.startswith("7d") else None
    return Window(
        utilization=values.fraction(given.get(f"{claim}-utilization")),
        resets_at=values.epoch(given.get(f"{claim}-reset")),
        status=given.get(f"{claim}-status") or None,
        surpassed_threshold=values.fraction(given.get(f"{claim}-surpassed-threshold")),
        duration_s=_DURATIONS_S.get(claim, week),
    )


def _overage(given: Mapping[str, str]) -> Fields:
    reason = given.get("overage-disabled-reason") or None
    return {
        "overage_status": given.get("overage-status") or None,
        "overage_resets_at": values.epoch(given.get("overage-reset")),
        "overage_disabled_reason": _REPORTED_AS.get(reason or "", reason),
        "overage_in_use": given.get("overage-in-use") == "true",
        "overage_utilization": values.fraction(given.get("overage-utilization")),
        "overage_period": given.get("overage-period") or None,
        "limit_scope": given.get("overage-scope") or None,
    }
