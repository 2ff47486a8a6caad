"""The official SDKs through the gateway: what the provider saw, the SDK read and the row says agree."""

from __future__ import annotations

import asyncio
from typing import Any

import anthropic
import openai
import pytest

MESSAGES: list[Any] = [{"role": "user", "content": "Who wrote this?"}]
CLAUDE: dict[str, Any] = {
    "model": "claude-sonnet-4-6",
    "max_tokens": 2000,
    "messages": MESSAGES,
    "system": [{"type": "text", "text": "Style book. " * 80, "cache_control": {"type": "ephemeral"}}],
    "thinking": {"type": "enabled", "budget_tokens": 1024},
}
CHAT: dict[str, Any] = {"model": "gpt-5.1", "messages": MESSAGES}
RESPONSE: dict[str, Any] = {"model": "gpt-5.1", "input": "Page. " * 1200, "reasoning": {"effort": "low"}}


def only_row(gateway, user: str) -> dict[str, Any]:
    """The user's one row, held against the request that the provider saw."""
    (row,) = gateway.settled_rows(1, user=user)
    seen = gateway.seen(row)
    assert row["outcome"] == "ok"
    assert row["user"] == user
    assert row["identifier"] == row["metadata_user_id"] == seen.identity == row["actor_id"]
    assert row["credential"] == "default"
    assert row["usage_complete"]
    assert counts(row) == (
        seen.reported.input,
        seen.reported.input_uncached,
        seen.reported.cache_read,
        seen.reported.output,
        seen.reported.reasoning,
    )
    return row


def counts(row: dict[str, Any]) -> tuple[int, ...]:
    names = (
        "input_tokens",
        "input_uncached_tokens",
        "cache_read_tokens",
        "output_tokens",
        "reasoning_tokens",
    )
    return tuple(row[name] or 0 for name in names)


def test_anthropic_blocking(gateway) -> None:
    with anthropic.Anthropic(base_url=gateway.base_url, api_key=gateway.key("anthropic-blocking")) as client:
        message = client.messages.create(**CLAUDE)
    row = only_row(gateway, "anthropic-blocking")
    usage = message.usage
    assert (row["input_uncached_tokens"], row["cache_read_tokens"]) == (
        usage.input_tokens,
        usage.cache_read_input_tokens,
    )
    assert (row["cache_write_5m_tokens"], row["output_tokens"]) == (
        usage.cache_creation.ephemeral_5m_input_tokens,
        usage.output_tokens,
    )
    assert (row["api"], row["streaming"], row["response_id"]) == ("messages", False, message.id)
    assert row["upstream_request_id"] == message._request_id


def test_anthropic_streaming(gateway) -> None:
    key = gateway.key("anthropic-streaming")
    with (
        anthropic.Anthropic(base_url=gateway.base_url, api_key=key) as client,
        client.messages.stream(**CLAUDE) as stream,
    ):
        message = stream.get_final_message()
    row = only_row(gateway, "anthropic-streaming")
    assert (row["streaming"], row["output_tokens"]) == (True, message.usage.output_tokens)
    assert row["ttft_ms"] is not None


def test_anthropic_async(gateway) -> None:
    key = gateway.key("anthropic-async")

    async def ask() -> anthropic.types.Message:
        async with (
            anthropic.AsyncAnthropic(base_url=gateway.base_url, api_key=key) as client,
            client.messages.stream(**CLAUDE) as stream,
        ):
            return await stream.get_final_message()

    message = asyncio.run(ask())
    assert only_row(gateway, "anthropic-async")["output_tokens"] == message.usage.output_tokens


@pytest.mark.parametrize("header", ["api_key", "auth_token"])
def test_anthropic_keys_in_either_header(gateway, header) -> None:
    user = f"anthropic-{header}"
    with anthropic.Anthropic(
        base_url=f"{gateway.base_url}/anthropic", **{header: gateway.key(user)}
    ) as client:
        client.messages.create(**CLAUDE)
    seen = gateway.seen(only_row(gateway, user))
    assert "byl_" not in repr(seen.headers)
    assert (seen.header("x-api-key"), seen.header("authorization")) == ("sk-ant-upstream", None)


def test_anthropic_counting_and_models_pass_through_without_usage(gateway) -> None:
    with anthropic.Anthropic(base_url=gateway.base_url, api_key=gateway.key("anthropic-other")) as client:
        assert client.messages.count_tokens(model="c", messages=MESSAGES).input_tokens > 0
        assert next(iter(client.models.list())).id.startswith("claude-")
    rows = gateway.settled_rows(2, user="anthropic-other")
    assert [(row["api"], row["input_tokens"], row["cost_usd"]) for row in rows] == [
        ("count_tokens", None, None),
        ("models", None, None),
    ]


def test_a_forged_identity_does_not_survive(gateway) -> None:
    with anthropic.Anthropic(base_url=gateway.base_url, api_key=gateway.key("forger")) as client:
        client.messages.create(**CLAUDE, metadata={"user_id": "somebody-else"})
    row = only_row(gateway, "forger")
    assert (row["client_metadata_user_id"], row["identity_action"]) == ("somebody-else", "replaced")
    assert gateway.seen(row).json()["metadata"] == {"user_id": row["actor_id"]}


def test_retries_after_an_overload_leave_a_row_each(gateway) -> None:
    gateway.provider.simulate("status=529; retry-after=0.001", times=2)
    with anthropic.Anthropic(base_url=gateway.base_url, api_key=gateway.key("retrier")) as client:
        client.messages.create(**CLAUDE)
    rows = gateway.settled_rows(3, user="retrier")
    assert [(row["http_status"], row["outcome"], row["retry_count"]) for row in rows] == [
        (529, "upstream_error", 0),
        (529, "upstream_error", 1),
        (200, "ok", 2),
    ]


def test_chat_blocking(gateway) -> None:
    with openai.OpenAI(base_url=gateway.openai_base_url, api_key=gateway.key("chat-blocking")) as client:
        chat = client.chat.completions.create(**CHAT)
    row = only_row(gateway, "chat-blocking")
    assert (row["input_tokens"], row["output_tokens"]) == (
        chat.usage.prompt_tokens,
        chat.usage.completion_tokens,
    )
    assert (row["api"], row["response_id"]) == ("chat.completions", chat.id)
    assert gateway.seen(row).json()["user"] == row["actor_id"]


def test_a_chat_stream_is_counted_though_the_client_did_not_ask(gateway) -> None:
    key = gateway.key("chat-silent")
    with (
        openai.OpenAI(base_url=gateway.openai_base_url, api_key=key) as client,
        client.chat.completions.create(**CHAT, stream=True) as stream,
    ):
        chunks = list(stream)
    assert all(chunk.choices and chunk.usage is None for chunk in chunks)
    assert only_row(gateway, "chat-silent")["output_tokens"] > 0


def test_a_chat_stream_that_asks_gets_its_usage(gateway) -> None:
    with openai.OpenAI(base_url=gateway.openai_base_url, api_key=gateway.key("chat-asking")) as client:
        stream = client.chat.completions.create(**CHAT, stream=True, stream_options={"include_usage": True})
        with stream:
            last = list(stream)[-1]
    assert last.choices == []
    assert only_row(gateway, "chat-asking")["output_tokens"] == last.usage.completion_tokens


def test_responses_blocking(gateway) -> None:
    key = gateway.key("responses-blocking", job="archive")
    with openai.OpenAI(base_url=f"{gateway.base_url}/openai/v1", api_key=key) as client:
        response = client.responses.create(**RESPONSE, safety_identifier="somebody-else")
    row = only_row(gateway, "responses-blocking")
    assert (row["input_tokens"], row["cache_read_tokens"], row["reasoning_tokens"]) == (
        response.usage.input_tokens,
        response.usage.input_tokens_details.cached_tokens,
        response.usage.output_tokens_details.reasoning_tokens,
    )
    assert (row["api"], row["job"], row["response_id"]) == ("responses", "archive", response.id)


def test_openai_async_streams_side_by_side(gateway) -> None:
    key = gateway.key("openai-async")

    async def ask() -> list[int]:
        async with openai.AsyncOpenAI(base_url=gateway.openai_base_url, api_key=key) as client:
            return await asyncio.gather(*(_stream_response(client, number) for number in range(8)))

    counted = asyncio.run(ask())
    rows = gateway.settled_rows(8, user="openai-async")
    assert sorted(row["output_tokens"] for row in rows) == sorted(counted)


async def _stream_response(client: openai.AsyncOpenAI, number: int) -> int:
    pace = {"x-simulate": "pace=2ms"}
    async with client.responses.stream(model="gpt-5.1", input=f"Page {number}", extra_headers=pace) as stream:
        response = await stream.get_final_response()
        assert response.usage is not None
        return response.usage.output_tokens
