"""How a budget says no: which limit, whose, when it opens again, and whom to ask."""

from __future__ import annotations

import math
from datetime import UTC, datetime

from byline.apis.api import Family
from byline.budgets.book import Applied
from byline.budgets.limits import Budget, describe_amount, dollars
from byline.gateway.budget_headers import refusal_headers, unavailable_headers
from byline.gateway.refusals import Refused

_CONCURRENCY_RETRY_S = 5
_NO_RETRY = ("x-should-retry", "false")
_WHOSE = {"all": "everybody together", "key": "the key", "model": "the model"}


def over_budget(
    family: Family, applied: Applied, used: int, needed: int, wait_s: float, now: float, contact: str
) -> Refused:
    """429. For money the provider's billing error, for speed its rate limit error."""
    period = applied.period
    wait = math.ceil(wait_s) if period is not None else _CONCURRENCY_RETRY_S
    whose = _scope_words(applied.budget.scope, applied.entity)
    sentence = f"the limit of {describe_amount(applied.budget)} for {whose} has no room for this request"
    parts = [
        sentence + _figures(applied, used, needed),
        _opens(applied, now, wait_s),
        f"ask {contact} for more",
    ]
    headers = [("retry-after", str(max(wait, 1))), _NO_RETRY]
    if family == "anthropic":
        reset = now + wait
        headers += refusal_headers(used, applied.limit, reset, period, applied.budget.scope)
    is_money = applied.metric == "usd"
    return Refused(
        429,
        "budget" if is_money else "rate_limit",
        " · ".join(part for part in parts if part),
        headers,
        provider_type=_provider_type(family, is_money),
        code="insufficient_quota" if is_money else None,
    )


def model_not_allowed(budget: Budget, model: str, entity: str, contact: str) -> Refused:
    allowed = ", ".join(budget.models)
    message = f"{_scope_words(budget.scope, entity)} may not use {model}: allowed are {allowed}; ask {contact} for more"
    return Refused(403, "model_not_allowed", message, [_NO_RETRY])


def counters_unavailable(family: Family) -> Refused:
    """The operator chose `counters.on_failure = "fail_closed"`."""
    message = (
        "budgets can't be checked at the moment, and this gateway sends nothing unchecked; try again soon"
    )
    headers = [("retry-after", str(_CONCURRENCY_RETRY_S)), _NO_RETRY]
    if family == "anthropic":
        headers += unavailable_headers()
        return Refused(429, "counters_unavailable", message, headers, provider_type="billing_error")
    return Refused(503, "counters_unavailable", message, headers)


def _provider_type(family: Family, is_money: bool) -> str | None:
    if not is_money:
        return None
    return "billing_error" if family == "anthropic" else "insufficient_quota"


def _scope_words(scope: str, entity: str) -> str:
    words = _WHOSE.get(scope, scope)
    return f"{words} {entity}" if entity else words


def _figures(applied: Applied, used: int, needed: int) -> str:
    if applied.metric == "concurrency":
        return f" ({used:,} are under way)"
    if applied.metric == "usd":
        return f" (${dollars(used)} is used or reserved, it reserves ${dollars(needed)})"
    if applied.metric == "tokens":
        return f" ({used:,} are used or reserved, it reserves {needed:,})"
    return ""


def _opens(applied: Applied, now: float, wait_s: float) -> str:
    if applied.period is None:
        return "opens when one of them ends"
    if applied.period == "minute":
        return f"opens in {math.ceil(wait_s)} s"
    return f"resets {datetime.fromtimestamp(now + wait_s, UTC):%Y-%m-%d %H:%M} UTC"
