"""Our budgets in the headers that Claude Code reads for its own limits.

Shapes of both answers: `overage` as the claim, because clients do arithmetic on the time of any other;
no claim at all on a refusal, so that its message is shown as it stands and nothing is retried.
"""

from __future__ import annotations

from byline.budgets.limits import Period
from byline.budgets.periods import window_at
from byline.gateway.http1.response_head import ResponseHead
from byline.gateway.reservation import Reservation
from byline.quota.reading import is_quota_header

_PREFIX = "anthropic-ratelimit-unified-"
_THRESHOLDS = (0.95, 0.75)
"""Past these a client warns."""
_FULLEST_SHOWN = 0.99
"""A budget that still answers is not used up, whatever a soft one's sum says."""
_PERIODS: dict[Period | None, str] = {"day": "daily", "week": "weekly", "month": "monthly"}


def answer_lines(reservation: Reservation, head: ResponseHead, *, is_anthropic: bool) -> list[bytes]:
    """The answer's lines with the upstream's quota taken out and the caller's own put in."""
    lines = head.travelling.split(b"\r\n") if head.travelling else []
    if not reservation.strips:
        return lines
    lines = [line for line in lines if not is_quota_header(_name(line))]
    if is_anthropic and reservation.shown is not None and head.status < 400:
        used, budget = reservation.shown
        lines += _own_lines(used, window_at(budget.period or "day", reservation.at).ends_at)
    return lines


def refusal_headers(
    used: int, limit: int, resets_at: float, period: Period | None, scope: str
) -> list[tuple[str, str]]:
    """For a budget that is used up."""
    reset = str(round(resets_at))
    headers = {
        "status": "rejected",
        "reset": reset,
        "overage-reset": reset,
        "overage-utilization": f"{max(used / limit, 1.0) if limit else 1.0:.2f}",
        "overage-surpassed-threshold": "1",
        "overage-disabled-reason": "org_spend_cap_reached",
    }
    if period in _PERIODS:
        headers["overage-period"] = _PERIODS[period]
    if scope in ("team", "all"):
        headers["overage-scope"] = "group_pool"
    return [(_PREFIX + name, value) for name, value in headers.items()]


def unavailable_headers() -> list[tuple[str, str]]:
    """Nobody can say how much is left."""
    return [(f"{_PREFIX}overage-disabled-reason", "fetch_error")]


def _own_lines(used: float, resets_at: float) -> list[bytes]:
    shown = min(used, _FULLEST_SHOWN)
    passed = next((threshold for threshold in _THRESHOLDS if used >= threshold), None)
    status = "allowed" if passed is None else "allowed_warning"
    reset = str(round(resets_at))
    headers = {
        "status": status,
        "overage-status": status,
        "representative-claim": "overage",
        "overage-utilization": f"{shown:.2f}",
        "reset": reset,
        "overage-reset": reset,
    }
    if passed is not None:
        headers["overage-surpassed-threshold"] = str(passed)
    return [f"{_PREFIX}{name}: {value}".encode() for name, value in headers.items()]


def _name(line: bytes) -> str:
    return line.partition(b":")[0].decode("latin-1").lower()
