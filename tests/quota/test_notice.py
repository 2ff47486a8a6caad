"""Snapshot to notice, in the order of the rules; and the words, in the reader's zone."""

from __future__ import annotations

from datetime import UTC, timedelta, timezone
from typing import Any

import pytest

from byline.quota.early_warning import DEFAULT_RULES, EarlyWarningRules
from byline.quota.notice import AccountContext, Notice, quota_notice, transition_notice
from byline.quota.reading import read_quota
from byline.quota.snapshot import QuotaSnapshot, Window

NOW = 1_795_003_200  # 2026-11-18 12:00 UTC
RESET = NOW + 7 * 3600 + 57 * 60  # 7:57 pm
UNIFIED = {"anthropic-ratelimit-unified-status": "rejected"}


def snapshot(**fields: Any) -> QuotaSnapshot:
    return QuotaSnapshot(**({"observed_at": float(NOW), "raw": UNIFIED} | fields))


def rejected(**fields: Any) -> QuotaSnapshot:
    return snapshot(**({"status": "rejected", "resets_at": RESET} | fields))


def near(used: float | None = 0.8, **fields: Any) -> QuotaSnapshot:
    return snapshot(
        status="allowed_warning", rate_limit_type="five_hour", utilization=used, resets_at=RESET, **fields
    )


def words(given: QuotaSnapshot, **more: Any) -> tuple[str, str, str] | None:
    notice = quota_notice(given, **more)
    return None if notice is None else (notice.code, notice.severity, notice.in_zone(UTC))


@pytest.mark.parametrize("status", ["allowed", "rejected"])
def test_use_beyond_the_plan_comes_first_and_is_silent(status: str) -> None:
    using = snapshot(
        status=status, rate_limit_type="five_hour", is_using_overage=True, overage_status="allowed"
    )
    assert quota_notice(using) is None


def test_use_beyond_the_plan_near_its_cap_is_a_warning() -> None:
    using = rejected(is_using_overage=True, overage_status="allowed_warning", overage_resets_at=RESET)
    assert words(using) == (
        "overage_near_cap",
        "warning",
        "You are close to the spending limit of your usage beyond the plan · resets 7:57pm (UTC)",
    )


@pytest.mark.parametrize(
    ("limit", "name"),
    [
        ("five_hour", "5-hour limit"),
        ("seven_day", "weekly limit"),
        ("seven_day_opus", "weekly Opus limit"),
        ("seven_day_sonnet", "weekly Sonnet limit"),
        ("seven_day_overage_included", "weekly Fable limit"),
        ("overage", "spending limit"),
        ("nine_day", "usage limit"),
    ],
)
def test_a_refusal_names_the_limit_and_when_it_opens(limit: str, name: str) -> None:
    expected = f"You have reached your {name} · resets 7:57pm (UTC)"
    assert words(rejected(rate_limit_type=limit)) == ("limit_reached", "error", expected)


def test_a_refusal_of_one_models_limit_names_the_model() -> None:
    notice = quota_notice(rejected(rate_limit_type="seven_day_opus"), model="claude-opus-4-6")
    assert notice is not None
    assert notice.params["limit_model"] == "Opus"
    assert "for claude-opus-4-6" in notice.text


def test_another_models_limit_is_no_refusal_where_the_other_windows_have_room() -> None:
    windows = {"seven_day_opus": Window(status="rejected"), "five_hour": Window(status="allowed")}
    scoped = rejected(rate_limit_type="seven_day_opus", windows=windows)
    assert quota_notice(scoped, model="claude-sonnet-4-6") is None
    assert quota_notice(scoped, model="claude-opus-4-6") is not None
    assert quota_notice(scoped) is not None
    full = rejected(
        rate_limit_type="seven_day_opus", windows={**windows, "five_hour": Window(status="rejected")}
    )
    assert quota_notice(full, model="claude-sonnet-4-6") is not None
    assert quota_notice(rejected(rate_limit_type="seven_day_opus"), model="claude-sonnet-4-6") is not None


@pytest.mark.parametrize("reason", ["org_level_disabled_until", "org_spend_cap_reached"])
@pytest.mark.parametrize("limit", [None, "five_hour"])
def test_an_organizations_spend_limit(reason: str, limit: str | None) -> None:
    code, severity, text = words(rejected(rate_limit_type=limit, overage_disabled_reason=reason)) or (
        "",
        "",
        "",
    )
    assert (code, severity) == ("org_spend_limit", "error")
    assert "admin" in text
    assert "resets 7:57pm" in text


@pytest.mark.parametrize(
    ("reason", "code"),
    [
        ("out_of_credits", "out_of_credits"),
        ("seat_tier_level_disabled", "seat_not_included"),
        ("seat_tier_zero_credit_limit", "seat_not_included"),
        ("member_zero_credit_limit", "disabled_by_admin"),
        ("member_level_disabled", "disabled_by_admin"),
        ("group_zero_credit_limit", "group_limit_zero"),
        ("org_service_level_disabled", "service_disabled"),
        ("org_level_disabled", "limit_reached"),
        ("no_limits_configured", "limit_reached"),
        ("something_new", "limit_reached"),
        (None, "limit_reached"),
    ],
)
def test_without_a_claim_the_reason_speaks_and_with_one_the_limit(reason: str | None, code: str) -> None:
    later = RESET + 86_400
    bare = rejected(overage_status="rejected", overage_disabled_reason=reason, overage_resets_at=later)
    notice = quota_notice(bare)
    assert notice is not None
    assert (notice.code, notice.params["resets_at"]) == (code, RESET)
    claimed = rejected(rate_limit_type="five_hour", overage_status="rejected", overage_disabled_reason=reason)
    assert (words(claimed) or [None])[0] == "limit_reached"


def test_a_gateways_own_sentence_is_shown_as_it_stands() -> None:
    prefix = "anthropic-ratelimit-unified-"
    headers = {
        f"{prefix}status": "rejected",
        f"{prefix}reset": str(RESET),
        f"{prefix}overage-utilization": "1.05",
    }
    cap = read_quota(headers, status_code=429, now=NOW, message="ask finance for more")
    assert words(cap) == ("provider_message", "error", "ask finance for more · resets 7:57pm (UTC)")


def test_a_429_without_the_family_is_a_throttle_and_a_529_is_capacity() -> None:
    throttle = read_quota({"retry-after": "40"}, status_code=429, now=NOW)
    code, severity, text = words(throttle) or ("", "", "")
    assert (code, severity) == ("throttled", "error")
    assert "not your usage limit" in text
    assert text.endswith("try again in 40 s")
    assert (words(read_quota({}, status_code=529, now=NOW)) or [None])[0] == "overloaded"


def test_an_empty_bucket_is_a_rate_limit() -> None:
    headers = {
        "x-ratelimit-limit-tokens": "10",
        "x-ratelimit-remaining-tokens": "0",
        "x-ratelimit-reset-tokens": "6m0s",
    }
    limited = read_quota(headers, status_code=429, now=NOW)
    assert (words(limited) or [""])[0] == "rate_limited"
    assert "tokens per minute" in (words(limited) or ["", "", ""])[2]


@pytest.mark.parametrize(
    ("used", "said"), [(0.69, False), (0.6999, False), (0.70, True), (1.05, True), (None, True)]
)
def test_nothing_is_said_under_seventy_percent(used: float | None, said: bool) -> None:
    assert (quota_notice(near(used)) is not None) is said


def test_the_floor_is_a_value() -> None:
    assert quota_notice(near(0.8), rules=EarlyWarningRules(DEFAULT_RULES.windows, floor=0.9)) is None


@pytest.mark.parametrize("plan", ["team", "enterprise", "max"])
@pytest.mark.parametrize("extra", [True, False, None])
@pytest.mark.parametrize("billing", [True, False, None])
def test_members_who_roll_over_unasked_are_not_warned(
    plan: str, extra: bool | None, billing: bool | None
) -> None:
    account = AccountContext(plan, extra, billing)
    silent = plan != "max" and extra is True and billing is False
    assert (quota_notice(near(), account=account) is None) is silent
    assert quota_notice(rejected(rate_limit_type="five_hour"), account=account) is not None


def test_warnings_say_how_much_is_used_rounded_down() -> None:
    assert words(near(0.7999)) == (
        "limit_near",
        "warning",
        "You have used 79 % of your 5-hour limit · resets 7:57pm (UTC)",
    )
    assert words(near(0.29 + 0.5))[2].startswith("You have used 79 %")  # type: ignore[index]
    assert words(near(None)) == (
        "limit_approaching",
        "warning",
        "You are getting close to your 5-hour limit · resets 7:57pm (UTC)",
    )


def test_a_warning_without_a_limit_has_no_text_and_so_is_none() -> None:
    assert quota_notice(snapshot(status="allowed_warning", utilization=0.9)) is None


def test_all_is_well() -> None:
    assert quota_notice(snapshot()) is None
    assert quota_notice(None) is None


def test_the_transition_is_told_once() -> None:
    before, after = near(), rejected(is_using_overage=True, overage_status="allowed")
    notice = transition_notice(before, after)
    assert notice is not None
    assert (notice.code, notice.severity) == ("overage_started", "info")
    assert transition_notice(after, after) is None
    assert transition_notice(None, before) is None


@pytest.mark.parametrize(
    ("at", "zone", "text"),
    [
        (NOW + 3600, UTC, "1pm (UTC)"),
        (NOW + 13 * 3600, UTC, "Nov 19, 1am (UTC)"),
        (NOW - 12 * 3600, UTC, "12am (UTC)"),
        (NOW, timezone(timedelta(hours=9), "JST"), "9pm (JST)"),
        (NOW + 4 * 3600, timezone(timedelta(hours=9), "JST"), "Nov 19, 1am (JST)"),
    ],
)
def test_times_are_in_the_readers_zone_with_the_date_of_later_days(
    at: int, zone: timezone, text: str
) -> None:
    notice = Notice("limit_reached", "error", {"limit": "five_hour", "resets_at": at, "observed_at": NOW})
    assert notice.in_zone(zone) == f"You have reached your 5-hour limit · resets {text}"
