"""Single header values, as their providers write them; what can't be read is None, never an error."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime

_GO_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ns|us|µs|ms|s|m|h|d)")
_SECONDS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
_LARGEST_EPOCH_S = 4_102_444_800
"""2100: what lies beyond is no time in seconds."""


def number(text: str | None) -> float | None:
    try:
        value = float(text) if text else math.nan
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def whole(text: str | None) -> int | None:
    value = number(text)
    return None if value is None else int(value)


def fraction(text: str | None) -> float | None:
    value = number(text)
    return value if value is not None and value >= 0 else None


def percent(text: str | None) -> float | None:
    value = fraction(text)
    return None if value is None else round(value / 100, 6)


def epoch(text: str | None) -> int | None:
    """Epoch seconds, or a time in RFC 3339."""
    value = number(text)
    if value is not None:
        return int(value) if 0 < value < _LARGEST_EPOCH_S else None
    return _rfc3339(text) if text else None


def duration(text: str | None) -> float | None:
    """Go's notation, such as `6m0s` or `12ms`; a bare number is seconds."""
    if not text:
        return None
    plain = number(text)
    if plain is not None:
        return plain if plain >= 0 else None
    parts = _GO_DURATION.findall(text)
    if "".join(amount + unit for amount, unit in parts) != text:
        return None
    return sum(float(amount) * _SECONDS[unit] for amount, unit in parts)


def retry_after(seconds: str | None, milliseconds: str | None, now: float) -> float | None:
    """`retry-after-ms` is the finer one; `retry-after` is seconds or an HTTP date."""
    value = fraction(milliseconds)
    if value is not None:
        return value / 1000
    value = fraction(seconds)
    return value if value is not None else _until_http_date(seconds, now)


def flag(text: str | None) -> bool | None:
    return {"true": True, "false": False}.get((text or "").strip().lower())


def _until_http_date(text: str | None, now: float) -> float | None:
    from email.utils import parsedate_to_datetime  # rarely needed, and slow to load

    try:
        return max(0.0, parsedate_to_datetime(text or "").timestamp() - now)
    except (ValueError, TypeError, OverflowError):
        return None


def _rfc3339(text: str) -> int | None:
    try:
        at = datetime.fromisoformat(text)
        return int((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp())
    except (ValueError, OverflowError):
        return None
