"""What the last answers' headers said, as a program reads it."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import anthropic
import pytest

import byline
from byline.runtime import quota
from byline.runtime.kept_quota import KeptQuota
from byline.testing import SimulatedProvider


@pytest.fixture(autouse=True)
def fresh_quota(monkeypatch: pytest.MonkeyPatch) -> None:
    fresh = KeptQuota()
    monkeypatch.setattr(quota, "_kept", fresh)
    monkeypatch.setattr(byline, "quota_snapshot", fresh.snapshot, raising=False)
    monkeypatch.setattr(byline, "on_quota_change", fresh.on_change, raising=False)


def ask(provider: SimulatedProvider) -> None:
    with anthropic.Anthropic(api_key="sk-ant-x", base_url=provider.base_url, max_retries=0) as client:
        byline.instrument(client)
        client.messages.create(
            model="claude-sonnet-4-6", max_tokens=5, messages=[{"role": "user", "content": "hi"}]
        )


def test_nothing_is_known_before_the_first_answer() -> None:
    assert byline.quota_snapshot() is None
    assert byline.quota_notice(None) is None
    assert (byline.quota_warning(), byline.quota_error()) == (None, None)


def test_a_warning_comes_with_the_answer(provider: SimulatedProvider) -> None:
    heard: list[str] = []
    byline.on_quota_change(lambda snapshot, _: heard.append(snapshot.status))
    provider.simulate("quota=warning")
    ask(provider)
    snapshot = byline.quota_snapshot()
    assert snapshot is not None
    assert (snapshot.status, snapshot.rate_limit_type, snapshot.credential) == (
        "allowed_warning",
        "five_hour",
        "127.0.0.1",
    )
    assert heard == ["allowed_warning"]
    assert (byline.quota_warning() or "").startswith("You have used 94 % of your 5-hour limit")
    assert byline.quota_error() is None
    notice = byline.quota_notice(snapshot, model="claude-sonnet-4-6", account=None)
    assert notice is not None
    assert (notice.code, notice.severity) == ("limit_near", "warning")
    member = {"subscription_type": "team", "extra_usage_enabled": True, "billing_access": False}
    assert byline.quota_notice(snapshot, account=member) is None


def test_an_asynchronous_call_tells_as_well_and_a_batch_does_not(provider: SimulatedProvider) -> None:
    async def ask_asynchronously(path: str) -> None:
        async with anthropic.AsyncAnthropic(api_key="k", base_url=provider.base_url, max_retries=0) as client:
            with suppress(anthropic.APIStatusError):
                await byline.instrument(client).post(path, body={"requests": []}, cast_to=object)

    provider.simulate("quota=warning")
    asyncio.run(ask_asynchronously("/v1/messages/batches"))
    assert byline.quota_snapshot() is None
    provider.simulate("quota=warning")
    asyncio.run(ask_asynchronously("/v1/messages"))
    snapshot = byline.quota_snapshot()
    assert snapshot is not None
    assert snapshot.windows["five_hour"].utilization == 0.94


def test_a_refusal_is_an_error_and_no_footer(provider: SimulatedProvider) -> None:
    provider.simulate("status=429; quota=rejected")
    with pytest.raises(anthropic.RateLimitError):
        ask(provider)
    assert byline.quota_warning() is None
    assert (byline.quota_error() or "").startswith("You have reached your 5-hour limit")
