"""The quota headers of both providers, drawn down by what this provider has answered.

Anthropic shows per-minute buckets to API keys and its unified family to subscription tokens; which
header carries the credential says nothing, as its SDKs send API keys as bearer tokens too. OpenAI
shows buckets with durations.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from types import MappingProxyType

from byline.testing.shape import Family
from byline.testing.simulation import Quota

_BUCKETS = MappingProxyType(
    {"requests": 4_000, "tokens": 2_400_000, "input-tokens": 2_000_000, "output-tokens": 400_000}
)
_FIVE_HOURS_S, _SEVEN_DAYS_S = 5 * 3600, 7 * 86400
_PREFIX = "anthropic-ratelimit-unified-"
Headers = dict[str, str]


@dataclass(slots=True)
class Spent:
    """What has been used of every limit since the provider started."""

    requests: int = 0
    input_tokens: int = 0
    output_tokens: int = 0

    def of(self, bucket: str) -> int:
        amounts: Mapping[str, int] = {
            "requests": self.requests,
            "tokens": self.input_tokens + self.output_tokens,
            "input-tokens": self.input_tokens,
            "output-tokens": self.output_tokens,
        }
        return amounts[bucket]


def quota_headers(family: Family, quota: Quota, *, subscription: bool, spent: Spent, now_s: float) -> Headers:
    if quota == "none":
        return {}
    if family == "openai":
        return _openai(spent, exhausted=quota == "rejected")
    if quota == "buckets" or (quota == "auto" and not subscription):
        return _anthropic_buckets(spent, now_s)
    return _unified(quota, spent, now_s)


def _anthropic_buckets(spent: Spent, now_s: float) -> Headers:
    resets_at = datetime.fromtimestamp(int(now_s) + 60, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    headers: Headers = {}
    for bucket, limit in _BUCKETS.items():
        left = max(limit - spent.of(bucket), 0)
        # Anthropic rounds remaining tokens, but not requests, to the nearest thousand.
        shown = left if bucket == "requests" else round(left, -3)
        stem = f"anthropic-ratelimit-{bucket}-"
        headers |= {stem + "limit": str(limit), stem + "remaining": str(shown), stem + "reset": resets_at}
    return headers


def _unified(quota: Quota, spent: Spent, now_s: float) -> Headers:
    five_hour_reset = int(now_s) // _FIVE_HOURS_S * _FIVE_HOURS_S + _FIVE_HOURS_S
    seven_day_reset = int(now_s) // _SEVEN_DAYS_S * _SEVEN_DAYS_S + _SEVEN_DAYS_S
    status = {"warning": "allowed_warning", "rejected": "rejected"}.get(quota, "allowed")
    used = {"warning": 0.94, "rejected": 1.0}.get(quota, min(0.01 + spent.output_tokens / 1_000_000, 0.7))
    headers = {
        "status": status,
        "reset": str(five_hour_reset),
        "representative-claim": "five_hour",
        "5h-status": status,
        "5h-utilization": f"{used:.2f}",
        "5h-reset": str(five_hour_reset),
        "7d-status": "allowed",
        "7d-utilization": f"{used / 10:.2f}",
        "7d-reset": str(seven_day_reset),
        "fallback-percentage": "0.5",
        "overage-status": "rejected",
        "overage-disabled-reason": "org_level_disabled",
    }
    if status != "allowed":
        headers["5h-surpassed-threshold"] = "0.9" if quota == "warning" else "1.0"
    return {_PREFIX + name: value for name, value in headers.items()}


def _openai(spent: Spent, *, exhausted: bool) -> Headers:
    headers: Headers = {}
    for bucket, refill_s in (("requests", "120ms"), ("tokens", "6m0s")):
        limit = _BUCKETS[bucket]
        left = 0 if exhausted else max(limit - spent.of(bucket), 0)
        headers[f"x-ratelimit-limit-{bucket}"] = str(limit)
        headers[f"x-ratelimit-remaining-{bucket}"] = str(left)
        headers[f"x-ratelimit-reset-{bucket}"] = refill_s
    return headers
