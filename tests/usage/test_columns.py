from __future__ import annotations

from byline.usage.columns import EVENT_COLUMNS, PRIVILEGED_PREFIX, USAGE_COLUMNS, USAGE_DEFAULTS

OUTSIDE_SURFACE = """
request_id, exchange_id, attempt, upstream_request_id, response_id, gateway_id, schema_version, started_at,
ended_at, duration_ms, ttft_ms, overhead_us, provider, api, server_address, credential, provider_organization,
model_requested, model_reported, streaming, http_status, outcome, finish_reason, usage_complete, error_type,
actor_id, key_id, auth_source, user, email, team, job, identifier, identity_action, metadata_user_id,
client_metadata_user_id, claimed_user, claimed_job, device_id, account_id, claude_code_session_id, session_id,
agent_id, parent_agent_id, prompt_id, request_class, client, retry_count, input_tokens, input_uncached_tokens,
cache_read_tokens, cache_write_tokens, cache_write_5m_tokens, cache_write_1h_tokens, output_tokens,
reasoning_tokens, web_search_requests, iterations, service_tier, speed, inference_geo, cost_usd, cost_status,
price_version, quota, trace_id, span_id, parent_span_id, trace_sampled, raw_usage
"""


def test_the_columns_are_those_people_rely_on_in_their_order() -> None:
    fixed = [name.strip() for name in OUTSIDE_SURFACE.split(",")]
    assert [name for name in USAGE_COLUMNS if name != "source"] == fixed


def test_no_general_event_column_is_privileged() -> None:
    assert not [name for name in EVENT_COLUMNS if name.startswith(PRIVILEGED_PREFIX)]


def test_defaults_are_those_that_mean_something() -> None:
    assert USAGE_DEFAULTS["outcome"] == "interrupted"
    assert "input_tokens" not in USAGE_DEFAULTS
    assert "quota" not in USAGE_DEFAULTS
