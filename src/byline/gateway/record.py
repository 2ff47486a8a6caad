"""Builds the row of an attempt: what its requests share, what is its own, then what the answer said."""

from __future__ import annotations

from copy import copy

from byline.apis.api import Reading
from byline.gateway.client_product import read_client_product
from byline.gateway.exchange import Exchange, Moment
from byline.identity.model import Attribution
from byline.usage.journal import know
from byline.usage.reading import fill_usage
from byline.usage.record import AttemptColumns, KnownColumns, Outcome, UsageRecord

MAX_TEXT_CHARS = 1024


def describe(exchange: Exchange, gateway_id: str) -> UsageRecord:
    """What all requests of this client share; `know_columns` adds what one of them says."""
    route = exchange.route
    record = UsageRecord(
        request_id="",
        exchange_id="",
        gateway_id=gateway_id,
        started_at=exchange.columns.started_at,
        provider=route.provider.name if route else exchange.family,
        api=route.api_name if route else "other",
        server_address=route.provider.pool.origin.host if route else None,
        client=read_client_product(exchange.head.get(b"user-agent")),
        retry_count=_retry_count(exchange.head.get(b"x-stainless-retry-count")),
    )
    if exchange.attribution is not None:
        _attribute(record, exchange.attribution)
    return record


def know_columns(exchange: Exchange, described: UsageRecord) -> KnownColumns:
    """All of the row that is known once the body has been read."""
    record = copy(described)
    if exchange.facts is not None:
        record.model_requested = cut(exchange.facts.model)
        record.streaming = exchange.facts.streaming
        record.client_metadata_user_id = cut(exchange.facts.client_identifier)
    return know(record)


def cut(text: str | None) -> str | None:
    """A client's text as it goes on a row: bodies may hold megabytes in any field."""
    return None if text is None else text[:MAX_TEXT_CHARS]


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


def close_columns(
    columns: AttemptColumns, exchange: Exchange, reading: Reading | None, outcome: Outcome, ended: Moment
) -> None:
    """Adds the end of the attempt and what its Meter read."""
    columns.outcome = outcome
    columns.ended_at = ended.wall
    # To the microsecond; a fifth of the cost of `round`.
    columns.duration_ms = int((ended.monotonic - exchange.accepted_at) * 1e6) / 1e3
    if reading is not None:
        fill_usage(columns, reading)


def _retry_count(value: bytes | None) -> int | None:
    return int(value) if value is not None and value.isdigit() and len(value) < 6 else None
