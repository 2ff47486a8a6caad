"""What a person should read about a snapshot: a code, a severity and parameters, or nothing.

Pure rules, in this order: use beyond the plan, then a limit reached, then a limit that is near. The
words are made last, in `text`; nothing may ever match on them.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import tzinfo
from typing import Any, Literal

import msgspec

from byline.quota import text as texts
from byline.quota.early_warning import DEFAULT_RULES, EarlyWarningRules
from byline.quota.snapshot import QuotaSnapshot

Severity = Literal["warning", "error", "info"]
_TEAMS = frozenset({"team", "enterprise"})
_CAPACITY = 529
_TOO_MANY_REQUESTS = 429
_SPEND_LIMIT = frozenset({"org_level_disabled_until", "org_spend_cap_reached"})
_WHY_NO_OVERAGE = {
    "out_of_credits": "out_of_credits",
    "seat_tier_level_disabled": "seat_not_included",
    "seat_tier_zero_credit_limit": "seat_not_included",
    "member_level_disabled": "disabled_by_admin",
    "member_zero_credit_limit": "disabled_by_admin",
    "group_zero_credit_limit": "group_limit_zero",
    "org_service_level_disabled": "service_disabled",
    "org_service_zero_credit_limit": "service_disabled",
}
MODEL_OF_LIMIT = {
    "seven_day_opus": "Opus",
    "seven_day_sonnet": "Sonnet",
    "seven_day_overage_included": "Fable",
}
"""Limits that one family of models has for itself."""


class AccountContext(msgspec.Struct, frozen=True):
    """What is known of who reads the notice; None is not known."""

    subscription_type: str | None = None
    extra_usage_enabled: bool | None = None
    billing_access: bool | None = None

    @property
    def rolls_over_unasked(self) -> bool:
        """A member whose use goes on beyond the plan, and who can do nothing about it."""
        in_team = (self.subscription_type or "").lower() in _TEAMS
        return in_team and self.extra_usage_enabled is True and self.billing_access is False


class Notice(msgspec.Struct, frozen=True):
    code: str
    severity: Severity
    params: Mapping[str, Any] = {}

    @property
    def text(self) -> str:
        """In the reader's own time zone."""
        return texts.render(self.code, self.params)

    def in_zone(self, zone: tzinfo) -> str:
        return texts.render(self.code, self.params, zone)


def quota_notice(
    snapshot: QuotaSnapshot | None,
    *,
    model: str | None = None,
    account: AccountContext | None = None,
    rules: EarlyWarningRules = DEFAULT_RULES,
) -> Notice | None:
    """None where there is nothing that a person should read."""
    if snapshot is None:
        return None
    if snapshot.is_using_overage:
        return _overage(snapshot)
    if snapshot.http_status == _CAPACITY:
        return Notice("overloaded", "error", _only_known(retry_after_s=snapshot.retry_after_s))
    if snapshot.status == "rejected" and not _is_about_another_model(snapshot, model):
        return _refusal(snapshot, model)
    if snapshot.status == "allowed_warning":
        return _warning(snapshot, model, account or AccountContext(), rules)
    return None


def transition_notice(before: QuotaSnapshot | None, now: QuotaSnapshot) -> Notice | None:
    """Once, when use begins to be paid beyond the plan."""
    if now.is_using_overage and not (before is not None and before.is_using_overage):
        return Notice("overage_started", "info", _limit(now, None))
    return None


def _overage(snapshot: QuotaSnapshot) -> Notice | None:
    if snapshot.overage_status != "allowed_warning":
        return None
    params = _only_known(
        utilization=snapshot.overage_utilization,
        resets_at=snapshot.overage_resets_at,
        observed_at=snapshot.observed_at or None,
    )
    return Notice("overage_near_cap", "warning", params)


def _refusal(snapshot: QuotaSnapshot, model: str | None) -> Notice:
    params = _limit(snapshot, model)
    reason = snapshot.overage_disabled_reason
    if snapshot.http_status == _TOO_MANY_REQUESTS and not snapshot.has_unified:
        return _throttled(snapshot, params)
    if _is_spoken_for_itself(snapshot):
        return Notice("provider_message", "error", params | {"message": snapshot.message})
    if reason in _SPEND_LIMIT:
        return Notice("org_spend_limit", "error", params)
    if snapshot.rate_limit_type is None and snapshot.overage_status == "rejected":
        params = params | _only_known(resets_at=_earliest(snapshot.resets_at, snapshot.overage_resets_at))
        return Notice(_WHY_NO_OVERAGE.get(reason or "", "limit_reached"), "error", params)
    return Notice("limit_reached", "error", params)


def _throttled(snapshot: QuotaSnapshot, params: Mapping[str, Any]) -> Notice:
    """No subscription's limit: a bucket per minute, or a server that asks to go slower."""
    if snapshot.rate_limit_type is not None:
        return Notice("rate_limited", "error", params)
    return Notice("throttled", "error", params)


def _is_spoken_for_itself(snapshot: QuotaSnapshot) -> bool:
    """The shape of a gateway's own cap: no claim, no overage status, and a sentence to be shown as it is."""
    return bool(snapshot.message) and snapshot.rate_limit_type is None and snapshot.overage_status is None


def _warning(
    snapshot: QuotaSnapshot, model: str | None, account: AccountContext, rules: EarlyWarningRules
) -> Notice | None:
    used = snapshot.utilization
    if used is not None and used < rules.floor:
        return None  # what is left of a warning after its window opened again
    if account.rolls_over_unasked or snapshot.rate_limit_type is None:
        return None
    code = "limit_approaching" if used is None else "limit_near"
    return Notice(code, "warning", _limit(snapshot, model))


def _is_about_another_model(snapshot: QuotaSnapshot, model: str | None) -> bool:
    """Only where the other windows are known to have room: the summary alone proves nothing."""
    scope = {"seven_day_opus": "opus", "seven_day_sonnet": "sonnet"}.get(snapshot.rate_limit_type or "")
    if model is None or scope is None or scope in model.lower():
        return False
    others = [window for name, window in snapshot.windows.items() if name != snapshot.rate_limit_type]
    return any(window.status for window in others) and all(window.status != "rejected" for window in others)


def _limit(snapshot: QuotaSnapshot, model: str | None) -> dict[str, Any]:
    limit = snapshot.rate_limit_type
    window = snapshot.windows.get(limit or "")
    return _only_known(
        limit=limit,
        duration_s=None if window is None else window.duration_s,
        limit_model=MODEL_OF_LIMIT.get(limit or ""),
        model=model,
        utilization=snapshot.utilization,
        surpassed_threshold=snapshot.surpassed_threshold,
        resets_at=snapshot.resets_at,
        retry_after_s=snapshot.retry_after_s,
        reason=snapshot.overage_disabled_reason,
        fallback_available=snapshot.unified_rate_limit_fallback_available or None,
        observed_at=snapshot.observed_at or None,
    )


def _only_known(**params: Any) -> dict[str, Any]:
    return {name: value for name, value in params.items() if value is not None}


def _earliest(*times: int | None) -> int | None:
    return min((at for at in times if at is not None), default=None)
