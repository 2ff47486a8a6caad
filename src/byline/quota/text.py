"""The words of a notice. Times are in the reader's zone; codes and parameters come from `notice`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import datetime, tzinfo
from typing import Any

from byline.quota.snapshot import FIVE_HOURS_S, SEVEN_DAYS_S

_LIMIT_NAMES = {
    "five_hour": "5-hour limit",
    "seven_day": "weekly limit",
    "seven_day_opus": "weekly Opus limit",
    "seven_day_sonnet": "weekly Sonnet limit",
    "seven_day_overage_included": "weekly Fable limit",
    "overage": "spending limit",
    "requests": "requests per minute",
    "tokens": "tokens per minute",
    "input_tokens": "input tokens per minute",
    "output_tokens": "output tokens per minute",
}
_BY_LENGTH = {FIVE_HOURS_S: "5-hour limit", SEVEN_DAYS_S: "weekly limit"}
_MINUTE_S, _HOUR_S = 60, 3600


def render(code: str, params: Mapping[str, Any], zone: tzinfo | None = None) -> str:
    """One line. `zone` None is the zone of this process."""
    limit = limit_name(params.get("limit"), params.get("duration_s"))
    parts = [_sentence(code, params, limit), _until(params, zone)]
    if code == "limit_reached" and params.get("fallback_available"):
        parts.append("another model is still available")
    return " · ".join(part for part in parts if part)


def limit_name(limit: str | None, duration_s: int | None = None) -> str:
    """How people call a limit; an unknown one is just that."""
    return _LIMIT_NAMES.get(limit or "") or _BY_LENGTH.get(duration_s or 0) or "usage limit"


def _sentence(code: str, params: Mapping[str, Any], limit: str) -> str:
    match code:
        case "limit_reached":
            return f"You have reached your {limit}{_for_model(params)}"
        case "limit_near":
            return f"You have used {math.floor(params['utilization'] * 100 + 1e-9)} % of your {limit}"
        case "limit_approaching":
            return f"You are getting close to your {limit}"
        case "rate_limited":
            return f"The provider's rate limit is used up: {limit}"
        case "provider_message":
            return str(params["message"])
        case _:
            return _SENTENCES.get(code, "A limit of the provider applies")


_SENTENCES = {
    "overage_near_cap": "You are close to the spending limit of your usage beyond the plan",
    "overage_started": "Your plan's limit is used up; usage is now paid beyond the plan",
    "org_spend_limit": "Your organization's spend limit for this month is reached: an admin can raise it",
    "out_of_credits": "You are out of usage credits",
    "seat_not_included": "Your limit is reached, and your seat doesn't include usage beyond the plan",
    "disabled_by_admin": "Your limit is reached, and your admin has turned usage beyond the plan off",
    "group_limit_zero": "Your limit is reached, and your group's limit beyond the plan is $0",
    "service_disabled": "Usage beyond the plan is turned off for your organization on this service",
    "throttled": "The provider asks to go slower for a moment; this is not your usage limit",
    "overloaded": "The provider has no capacity at the moment; this is not your usage limit",
}


def _for_model(params: Mapping[str, Any]) -> str:
    model = params.get("model")
    return f" for {model}" if model and params.get("limit_model") else ""


def _until(params: Mapping[str, Any], zone: tzinfo | None) -> str:
    resets_at = params.get("resets_at")
    if resets_at is not None:
        return f"resets {clock_time(resets_at, params.get('observed_at'), zone)}"
    wait_s = params.get("retry_after_s")
    return f"try again in {span(wait_s)}" if wait_s else ""


def clock_time(at: float, seen_at: float | None = None, zone: tzinfo | None = None) -> str:
    """`7:57pm (UTC)`, minutes left out on the hour, with the date where it is another day's."""
    moment = datetime.fromtimestamp(at, zone) if zone else datetime.fromtimestamp(at).astimezone()
    hour = f"{(moment.hour - 1) % 12 + 1}"
    minute = f":{moment.minute:02d}" if moment.minute else ""
    text = f"{hour}{minute}{'am' if moment.hour < 12 else 'pm'} ({moment.tzname()})"
    if seen_at is not None and datetime.fromtimestamp(seen_at, moment.tzinfo).date() != moment.date():
        return f"{moment:%b} {moment.day}, {text}"
    return text


def span(seconds: float) -> str:
    """`40 s`, `12 min`, `3 h 20 min`: as much as one needs to decide whether to wait."""
    whole = max(1, math.ceil(seconds))
    if whole < 2 * _MINUTE_S:
        return f"{whole} s"
    minutes = math.ceil(whole / _MINUTE_S)
    if minutes < 2 * _MINUTE_S:
        return f"{minutes} min"
    hours, rest = divmod(minutes, _MINUTE_S)
    return f"{hours} h {rest} min" if rest and hours < 24 else f"{hours} h"
