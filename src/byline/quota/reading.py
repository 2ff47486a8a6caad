"""An answer's headers, of whichever family, to one QuotaSnapshot."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from byline.quota import values
from byline.quota.buckets import read_anthropic_buckets
from byline.quota.codex import PREFIX as CODEX_PREFIX
from byline.quota.codex import read_codex
from byline.quota.early_warning import DEFAULT_RULES, EarlyWarningRules
from byline.quota.openai import is_azure, read_azure, read_openai
from byline.quota.snapshot import QuotaSnapshot, Window
from byline.quota.unified import read_unified

QUOTA_PREFIXES = (
    "anthropic-ratelimit-",
    "anthropic-priority-",
    "anthropic-fast-",
    "x-ratelimit-",
    CODEX_PREFIX,
)
QUOTA_NAMES = frozenset({"retry-after", "retry-after-ms", "x-should-retry"})
_TOO_MANY_REQUESTS = 429
_FIRST_ERROR = 400


def is_quota_header(name: str) -> bool:
    """`name` in lower case."""
    return name.startswith(QUOTA_PREFIXES) or name in QUOTA_NAMES


def read_quota(
    headers: Mapping[str, str],
    *,
    status_code: int = 200,
    now: float,
    credential: str | None = None,
    message: str | None = None,
    rules: EarlyWarningRules = DEFAULT_RULES,
) -> QuotaSnapshot:
    """Never raises. `now`: when the answer came, in epoch seconds; `message`: an error's own sentence.

    Any 429 counts as rejected, also one without a header that says so.
    """
    given = {name.lower(): value for name, value in headers.items()}
    raw = {name: value for name, value in given.items() if name.startswith(QUOTA_PREFIXES)}
    refused = status_code == _TOO_MANY_REQUESTS
    fields: dict[str, Any] = {"status": "rejected" if refused else "allowed"}
    fields |= read_codex(raw, now, refused=refused, rules=rules)
    fields |= read_unified(raw, now, refused=refused, rules=rules)
    if refused:
        fields |= _exhausted(fields, given, now)
    windows: dict[str, Window] = {**_bucket_windows(raw, now), **fields.pop("windows", {})}
    return QuotaSnapshot(
        **fields,
        windows=windows,
        observed_at=now,
        credential=credential,
        retry_after_s=values.retry_after(given.get("retry-after"), given.get("retry-after-ms"), now),
        should_retry=values.flag(given.get("x-should-retry")),
        http_status=status_code if status_code >= _FIRST_ERROR else None,
        message=message,
        raw=raw,
    )


def _bucket_windows(raw: Mapping[str, str], now: float) -> dict[str, Window]:
    openai = read_azure(raw, now) if is_azure(raw) else read_openai(raw, now)
    return read_anthropic_buckets(raw) | openai


def _exhausted(fields: Mapping[str, Any], raw: Mapping[str, str], now: float) -> dict[str, Any]:
    """The bucket that a 429 without a named limit must be about, where one is empty."""
    if "rate_limit_type" in fields:
        return {}
    for name, window in _bucket_windows(raw, now).items():
        if window.remaining == 0:
            return {"rate_limit_type": name, "resets_at": window.resets_at}
    return {}
