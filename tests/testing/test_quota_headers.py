from __future__ import annotations

import httpx
import pytest

from byline.testing import SimulatedProvider

BODY = {"model": "c", "max_tokens": 50, "messages": [{"role": "user", "content": "Hello"}]}


def headers_of(
    provider: SimulatedProvider, credential: dict[str, str], simulate: str = "", path="/v1/messages"
):
    sent = credential | ({"x-simulate": simulate} if simulate else {})
    return httpx.post(provider.base_url + path, json=BODY, headers=sent).headers


@pytest.mark.parametrize("credential", [{"x-api-key": "k"}, {"authorization": "Bearer k"}])
def test_api_keys_see_per_minute_buckets_that_empty(provider, credential) -> None:
    first, second = headers_of(provider, credential), headers_of(provider, credential)
    assert second["anthropic-ratelimit-requests-limit"] == "4000"
    assert int(first["anthropic-ratelimit-requests-remaining"]) - 1 == int(
        second["anthropic-ratelimit-requests-remaining"]
    )
    assert first["anthropic-ratelimit-tokens-reset"] == "2026-09-21T14:14:20Z"
    assert "anthropic-ratelimit-unified-status" not in first


def test_subscription_tokens_see_the_unified_family(provider) -> None:
    headers = headers_of(provider, {"authorization": "Bearer sk-ant-oat01-x"})
    assert headers["anthropic-ratelimit-unified-status"] == "allowed"
    assert 0 <= float(headers["anthropic-ratelimit-unified-5h-utilization"]) < 1
    assert int(headers["anthropic-ratelimit-unified-5h-reset"]) > 1_790_000_000


def test_a_warning_and_a_refusal_can_be_asked_for(provider) -> None:
    warned = headers_of(provider, {"x-api-key": "k"}, "quota=warning")
    refused = headers_of(provider, {"x-api-key": "k"}, "quota=rejected; status=429; retry-after=51811")
    assert warned["anthropic-ratelimit-unified-5h-surpassed-threshold"] == "0.9"
    assert refused["anthropic-ratelimit-unified-status"] == "rejected"
    assert refused["retry-after"] == "51811"


def test_openai_shows_buckets_with_durations(provider) -> None:
    headers = headers_of(provider, {"authorization": "Bearer k"}, path="/v1/chat/completions")
    assert headers["x-ratelimit-reset-tokens"] == "6m0s"
    assert headers["openai-organization"] == "simulated-organization"


def test_single_headers_can_be_dictated_and_quota_headers_left_out(provider) -> None:
    simulate = "quota=none; headers=anthropic-ratelimit-unified-status:rejected,x-should-retry:false"
    headers = headers_of(provider, {"x-api-key": "k"}, simulate)
    assert headers["anthropic-ratelimit-unified-status"] == "rejected"
    assert headers["x-should-retry"] == "false"
    assert not any("remaining" in name for name in headers)
