"""Every family but the unified one: buckets, durations, sentinels, percent; and what an answer adds."""

from __future__ import annotations

import pytest

from byline.quota.reading import read_quota
from byline.quota.snapshot import Window

NOW = 1_795_000_000


def window(headers: dict[str, str], name: str, status_code: int = 200) -> Window:
    return read_quota(headers, status_code=status_code, now=NOW).windows[name]


def test_anthropic_buckets_are_windows_with_rfc3339_resets() -> None:
    headers = {
        "Anthropic-RateLimit-Requests-Limit": "4000",
        "anthropic-ratelimit-requests-remaining": "3999",
        "anthropic-ratelimit-requests-reset": "2025-08-21T12:40:59Z",
        "anthropic-ratelimit-input-tokens-limit": "2000000",
        "anthropic-ratelimit-input-tokens-remaining": "500000",
        "anthropic-ratelimit-output-tokens-limit": "0",
        "anthropic-ratelimit-output-tokens-remaining": "0",
        "anthropic-priority-input-tokens-limit": "10000",
        "anthropic-priority-input-tokens-remaining": "9618",
        "anthropic-priority-input-tokens-reset": "2025-08-21T12:40:59+02:00",
    }
    snapshot = read_quota(headers, now=NOW)
    assert snapshot.status == "allowed"
    assert snapshot.windows["requests"] == Window(
        utilization=0.00025, resets_at=1_755_780_059, limit=4000, remaining=3999
    )
    assert snapshot.windows["input_tokens"].utilization == 0.75
    assert snapshot.windows["output_tokens"].utilization is None
    assert snapshot.windows["priority_input_tokens"].resets_at == 1_755_780_059 - 7200


@pytest.mark.parametrize(
    ("duration", "seconds"),
    [("1s", 1), ("6m0s", 360), ("12ms", 1), ("1h2m3s", 3723), ("1m30.5s", 91), ("soon", None), ("", None)],
)
def test_openai_resets_are_go_durations_from_the_answer_on(duration: str, seconds: int | None) -> None:
    headers = {
        "x-ratelimit-limit-tokens": "200",
        "x-ratelimit-remaining-tokens": "50",
        "x-ratelimit-reset-tokens": duration,
    }
    expected = None if seconds is None else NOW + seconds
    assert window(headers, "tokens") == Window(utilization=0.75, resets_at=expected, limit=200, remaining=50)


def test_openai_variants_are_windows_of_their_own() -> None:
    headers = {
        "x-ratelimit-limit-tokens_usage_based": "10",
        "x-ratelimit-remaining-tokens_usage_based": "1",
        "x-ratelimit-remaining-project-tokens": "5",
    }
    windows = read_quota(headers, now=NOW).windows
    assert windows["tokens_usage_based"].utilization == pytest.approx(0.9)
    assert windows["project_tokens"].remaining == 5


def test_azure_sentinels_say_nothing() -> None:
    headers = {
        "x-ratelimit-limit-tokens": "-1",
        "x-ratelimit-remaining-tokens": "-1",
        "x-ratelimit-reset-tokens": "0",
        "x-ratelimit-limit-requests": "100",
        "x-ratelimit-remaining-requests": "25",
        "x-ratelimit-reset-requests": "30",
    }
    assert window(headers, "tokens") == Window()
    assert window(headers, "requests") == Window(
        utilization=0.75, resets_at=NOW + 30, limit=100, remaining=25
    )


def test_codex_percent_and_minutes() -> None:
    headers = {
        "x-codex-primary-used-percent": "42.5",
        "x-codex-primary-window-minutes": "300",
        "x-codex-primary-reset-at": str(NOW + 9000),
        "x-codex-secondary-used-percent": "12",
        "x-codex-secondary-window-minutes": "10080",
        "x-codex-secondary-reset-after-seconds": "600",
        "x-codex-bengalfox-primary-used-percent": "3",
        "x-codex-credits-balance": "",
        "x-codex-plan-type": "pro",
    }
    snapshot = read_quota(headers, now=NOW)
    assert snapshot.windows == {
        "primary": Window(utilization=0.425, resets_at=NOW + 9000, duration_s=18_000),
        "secondary": Window(utilization=0.12, resets_at=NOW + 600, duration_s=604_800),
        "bengalfox_primary": Window(utilization=0.03),
    }
    assert snapshot.raw["x-codex-plan-type"] == "pro"


def test_codex_windows_are_warned_of_and_refused_by_their_own_names() -> None:
    near = {
        "x-codex-primary-used-percent": "91",
        "x-codex-primary-window-minutes": "300",
        "x-codex-primary-reset-at": str(NOW + 9000),
    }
    assert read_quota(near, now=NOW).rate_limit_type == "primary"
    assert read_quota(near, now=NOW).status == "allowed_warning"
    full = near | {"x-codex-secondary-used-percent": "100", "x-codex-secondary-reset-at": str(NOW + 99)}
    refused = read_quota(full, status_code=429, now=NOW)
    assert (refused.status, refused.rate_limit_type, refused.resets_at) == ("rejected", "secondary", NOW + 99)


def test_an_empty_bucket_is_what_a_429_is_about() -> None:
    headers = {
        "anthropic-ratelimit-requests-remaining": "5",
        "anthropic-ratelimit-input-tokens-limit": "1000",
        "anthropic-ratelimit-input-tokens-remaining": "0",
        "anthropic-ratelimit-input-tokens-reset": "2026-11-18T15:07:10Z",
    }
    snapshot = read_quota(headers, status_code=429, now=NOW)
    assert (snapshot.rate_limit_type, snapshot.resets_at) == ("input_tokens", 1_795_014_430)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "3"}, 3.0),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after": "9", "retry-after-ms": "1500"}, 1.5),
        ({"retry-after": "Wed, 18 Nov 2026 11:06:50 GMT"}, 10.0),
        ({"retry-after": "Wed, 18 Nov 2020 11:06:50 GMT"}, 0.0),
        ({"retry-after": "later"}, None),
        ({}, None),
    ],
)
def test_retry_after_in_every_spelling(headers: dict[str, str], seconds: float | None) -> None:
    assert read_quota(headers, status_code=429, now=NOW).retry_after_s == seconds


@pytest.mark.parametrize(("text", "value"), [("true", True), ("false", False), ("maybe", None)])
def test_should_retry(text: str, value: bool | None) -> None:
    assert read_quota({"x-should-retry": text}, now=NOW).should_retry is value


def test_unknown_members_of_a_family_are_kept_raw() -> None:
    headers = {
        "anthropic-ratelimit-unified-slow-status": "active",
        "anthropic-ratelimit-unified-upgrade-paths": "a,b",
        "anthropic-ratelimit-unified-30d-utilization": "0.5",
        "anthropic-fast-something-new": "1",
    }
    snapshot = read_quota(headers, now=NOW)
    assert snapshot.raw == headers
    assert snapshot.windows == {"30d": Window(utilization=0.5)}


def test_all_windows_are_kept_whatever_the_summary_is_about() -> None:
    prefix = "anthropic-ratelimit-unified-"
    headers = {
        f"{prefix}status": "rejected",
        f"{prefix}representative-claim": "seven_day_overage_included",
        f"{prefix}7d_oi-status": "rejected",
        f"{prefix}7d_oi-utilization": "1.05",
        f"{prefix}5h-status": "allowed",
        f"{prefix}5h-utilization": "0.0",
    }
    windows = read_quota(headers, status_code=429, now=NOW).windows
    assert (windows["seven_day_overage_included"].utilization, windows["five_hour"].status) == (
        1.05,
        "allowed",
    )
