"""Builds the row of an attempt: what is known before it is sent, then what the answer said."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec

from byline.apis.api import Reading
from byline.gateway.client_product import read_client_product
from byline.gateway.exchange import Exchange
from byline.identity.model import Attribution
from byline.usage.record import Outcome, UsageRecord


def open_record(exchange: Exchange, gateway_id: str) -> UsageRecord:
    """All that is known of an exchange so far; a row is complete only with `close_record`."""
    route, trace = exchange.route, exchange.trace
    record = UsageRecord(
        request_id=exchange.exchange_id,
        exchange_id=exchange.exchange_id,
        gateway_id=gateway_id,
        started_at=exchange.started_at,
        provider=route.provider.name if route else exchange.family,
        api=route.api_name if route else "other",
        server_address=route.provider.pool.origin.host if route else None,
        client=read_client_product(exchange.head.get(b"user-agent")),
        retry_count=_retry_count(exchange.head.get(b"x-stainless-retry-count")),
        trace_id=trace.trace_id,
        span_id=trace.span_id,
        parent_span_id=trace.parent_span_id,
        trace_sampled=trace.sampled,
    )
    if exchange.attribution is not None:
        _attribute(record, exchange.attribution)
    if exchange.facts is not None:
        record.model_requested = exchange.facts.model
        record.streaming = exchange.facts.streaming
        record.client_metadata_user_id = exchange.facts.client_identifier
    return record


def _attribute(record: UsageRecord, attribution: Attribution) -> None:
    subject, claims = attribution.subject, attribution.claims
    record.actor_id = attribution.actor.id
    record.key_id = attribution.key_id
    record.auth_source = attribution.auth_source
    record.user = subject.username
    record.email = subject.email
    record.team = subject.team
    record.job = attribution.job
    record.claimed_user = claims.user
    record.claimed_job = claims.job
    record.device_id = claims.device_id
    record.account_id = claims.account_id
    record.claude_code_session_id = claims.claude_code_session_id
    record.session_id = claims.session_id
    record.agent_id = claims.agent_id
    record.parent_agent_id = claims.parent_agent_id
    record.prompt_id = claims.prompt_id
    record.request_class = claims.request_class


def close_record(record: UsageRecord, exchange: Exchange, reading: Reading | None, outcome: Outcome) -> None:
    """Adds the end of the attempt and what its Meter read."""
    clock = exchange.clock
    record.outcome = outcome
    record.ended_at = datetime.fromtimestamp(clock.wall(), UTC)
    record.duration_ms = round((clock.monotonic() - exchange.accepted_at) * 1000, 3)
    if reading is None:
        return
    _copy_reading(record, reading)
    record.usage_complete = reading.complete
    if reading.error_type is not None:
        record.error_type = reading.error_type
    if reading.raw_usage is not None:
        record.raw_usage = msgspec.Raw(reading.raw_usage)


def _copy_reading(record: UsageRecord, reading: Reading) -> None:
    record.response_id = reading.response_id
    record.model_reported = reading.model_reported
    record.finish_reason = reading.finish_reason
    record.input_tokens = reading.input_tokens
    record.input_uncached_tokens = reading.input_uncached_tokens
    record.cache_read_tokens = reading.cache_read_tokens
    record.cache_write_tokens = reading.cache_write_tokens
    record.cache_write_5m_tokens = reading.cache_write_5m_tokens
    record.cache_write_1h_tokens = reading.cache_write_1h_tokens
    record.output_tokens = reading.output_tokens
    record.reasoning_tokens = reading.reasoning_tokens
    record.web_search_requests = reading.web_search_requests
    record.iterations = reading.iterations
    record.service_tier = reading.service_tier
    record.speed = reading.speed
    record.inference_geo = reading.inference_geo


def _retry_count(value: bytes | None) -> int | None:
    return int(value) if value is not None and value.isdigit() and len(value) < 6 else None
