"""The row of `api_usage`: one per attempt at an upstream.

Column names are the public surface. The meaning of the less obvious ones stands beside them; a
count that the provider did not report is None, never 0.
"""

from __future__ import annotations

from copy import copy
from datetime import datetime
from decimal import Decimal
from typing import Literal

import msgspec

from byline.apis.api import ApiName, Iteration, Reading

Outcome = Literal[
    "ok", "upstream_error", "client_disconnect", "upstream_disconnect", "rejected", "interrupted"
]
CostStatus = Literal["priced", "unknown_model", "no_usage", "partial"]
IdentityAction = Literal["stamped", "replaced", "filled", "kept", "merged", "hashed", "none"]

SCHEMA_VERSION = 1
ABSENT = msgspec.Raw(b"null")
"""Stands for a missing JSON column (msgspec has no `Raw | None`)."""


class UsageRecord(msgspec.Struct, kw_only=True, omit_defaults=True):
    """One attempt. Filled as the attempt goes on; encoded to JSON with absent columns left out."""

    request_id: str
    """UUIDv7 of the attempt: the key by which stores de-duplicate."""
    exchange_id: str
    """Shared by the attempts of one client request."""
    attempt: int = 1
    upstream_request_id: str | None = None
    response_id: str | None = None
    gateway_id: str | None = None
    source: Literal["gateway", "client"] = "gateway"
    schema_version: int = SCHEMA_VERSION
    started_at: datetime
    ended_at: datetime | None = None
    duration_ms: float | None = None
    ttft_ms: float | None = None
    """Accept to first body byte from upstream."""
    overhead_us: int | None = None
    """Inside the gateway before the upstream write and after its first byte, waiting left out."""

    provider: str
    api: ApiName
    server_address: str | None = None
    credential: str | None = None
    """Name of the upstream credential used; `client` where the client sent its own."""
    provider_organization: str | None = None
    model_requested: str | None = None
    model_reported: str | None = None
    streaming: bool = False
    http_status: int | None = None
    outcome: Outcome = "interrupted"
    finish_reason: str | None = None
    usage_complete: bool | None = None
    error_type: str | None = None

    actor_id: str | None = None
    key_id: str | None = None
    auth_source: str | None = None
    user: str | None = None
    email: str | None = None
    team: str | None = None
    job: str | None = None
    identifier: str | None = None
    identity_action: IdentityAction = "none"
    metadata_user_id: str | None = None
    """What stood in the identity field as sent upstream, whatever the provider calls it."""
    client_metadata_user_id: str | None = None
    claimed_user: str | None = None
    claimed_job: str | None = None
    device_id: str | None = None
    account_id: str | None = None
    claude_code_session_id: str | None = None
    session_id: str | None = None
    agent_id: str | None = None
    parent_agent_id: str | None = None
    prompt_id: str | None = None
    request_class: str | None = None
    client: str | None = None
    """Product name out of the User-Agent, such as `claude-cli/2.1.330`."""
    retry_count: int | None = None

    input_tokens: int | None = None
    """Total: uncached + cache read + cache write."""
    input_uncached_tokens: int | None = None
    cache_read_tokens: int | None = None
    cache_write_tokens: int | None = None
    cache_write_5m_tokens: int | None = None
    cache_write_1h_tokens: int | None = None
    output_tokens: int | None = None
    """Includes reasoning."""
    reasoning_tokens: int | None = None
    web_search_requests: int | None = None
    iterations: list[Iteration] | None = None
    service_tier: str | None = None
    speed: str | None = None
    inference_geo: str | None = None
    cost_usd: Decimal | None = None
    cost_status: CostStatus | None = None
    price_version: str | None = None

    quota: msgspec.Raw = ABSENT
    """JSON object: the quota snapshot read from this answer's headers."""
    trace_id: str | None = None
    span_id: str | None = None
    parent_span_id: str | None = None
    trace_sampled: bool | None = None
    raw_usage: msgspec.Raw = ABSENT
    """JSON: the provider's own usage object, last seen value of each field."""


class AttemptColumns(Reading, kw_only=True, omit_defaults=True, gc=False):
    """The columns of a UsageRecord that each attempt has of its own, under the same names.

    The others are the same for all requests of a caller; see `KnownColumns`. What a Meter reads of the
    answer are columns as they are.
    """

    request_id: str
    exchange_id: str
    attempt: int = 1
    upstream_request_id: str | None = None
    started_at: datetime
    ended_at: datetime | None = None
    duration_ms: float | None = None
    ttft_ms: float | None = None
    overhead_us: int | None = None
    provider_organization: str | None = None
    http_status: int | None = None
    outcome: Outcome = "interrupted"
    input_tokens: int | None = None
    quota: msgspec.Raw = ABSENT
    trace_id: str | None = None
    span_id: str | None = None
    parent_span_id: str | None = None
    trace_sampled: bool | None = None


class KnownColumns(msgspec.Struct, frozen=True):
    """What is known of a row before its attempt, and encoded once for all that share it."""

    record: UsageRecord
    """Blank where an attempt has columns of its own."""
    members: bytes
    """As they end a line of the journal: `"user":"ada",...}` and a line break."""

    def with_attempt(self, columns: AttemptColumns) -> UsageRecord:
        """The whole row."""
        record = copy(self.record)
        for name in AttemptColumns.__struct_fields__:
            setattr(record, name, getattr(columns, name))
        if columns.raw_usage is None:
            record.raw_usage = ABSENT
        return record
