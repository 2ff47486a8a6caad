"""The columns of `api_usage` and `api_events` and what they hold, whatever the engine calls the types.

An engine maps each `Kind` to a type of its own; missing values are NULL in all of them.
"""

from __future__ import annotations

from typing import Final, Literal

import msgspec

from byline.usage.record import UsageRecord

Kind = Literal["text", "count", "real", "money", "time", "flag", "json"]
"""`count` is a 64-bit integer, `money` a decimal with 12 places, `time` microseconds in UTC."""

MONEY_PLACES: Final = 12
"""A token can cost 0.0000000375 USD; a tenth more of that (US-only inference) needs eleven places."""

_KINDS: Final[dict[Kind, tuple[str, ...]]] = {
    "time": ("started_at", "ended_at"),
    "real": ("duration_ms", "ttft_ms"),
    "money": ("cost_usd",),
    "flag": ("streaming", "usage_complete", "trace_sampled"),
    "json": ("iterations", "quota", "raw_usage"),
    "count": (
        "attempt", "schema_version", "overhead_us", "http_status", "retry_count",
        "input_tokens", "input_uncached_tokens", "cache_read_tokens", "cache_write_tokens",
        "cache_write_5m_tokens", "cache_write_1h_tokens", "output_tokens", "reasoning_tokens",
        "web_search_requests",
    ),
}  # fmt: skip


def _kind(column: str) -> Kind:
    for kind, columns in _KINDS.items():
        if column in columns:
            return kind
    return "text"


USAGE_COLUMNS: Final[dict[str, Kind]] = {name: _kind(name) for name in UsageRecord.__struct_fields__}

DAILY_GROUPS: Final = (
    "provider", "api", "credential", "model_requested", "model_reported", "outcome", "user", "team", "job",
    "client", "cost_status",
)  # fmt: skip
"""What the daily sums that outlive their rows can still be told apart by."""
DAILY_SUMS: Final = (
    "input_tokens", "input_uncached_tokens", "cache_read_tokens", "cache_write_tokens",
    "cache_write_5m_tokens", "cache_write_1h_tokens", "output_tokens", "reasoning_tokens",
    "web_search_requests", "cost_usd",
)  # fmt: skip

EVENT_COLUMNS: Final[dict[str, Kind]] = {
    "event_id": "text",
    "event_name": "text",
    "occurred_at": "time",
    "received_at": "time",
    "source": "text",
    "program": "text",
    "version": "text",
    "build": "text",
    "request_id": "text",
    "actor_id": "text",
    "user": "text",
    "job": "text",
    "session_id": "text",
    "device_id": "text",
    "sample_rate": "real",
    "metadata": "json",
}
PRIVILEGED_PREFIX: Final = "pii_"
"""Event columns whose names begin so are absent from the view that general readers use."""


def _json_default(default: object) -> object:
    return None if isinstance(default, msgspec.Raw) else default


USAGE_DEFAULTS: Final[dict[str, object]] = {
    field.name: field.default
    for field in msgspec.structs.fields(UsageRecord)
    if field.default is not msgspec.NODEFAULT and _json_default(field.default) is not None
}
"""What an absent column of an encoded record means: records leave out what is at its default."""
