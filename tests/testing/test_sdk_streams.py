"""The official SDKs read every answer, and read the counts that the provider says it sent."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import anthropic
import openai
import pytest

from byline.testing import SimulatedProvider, Usage

MESSAGES: list[Any] = [{"role": "user", "content": "Who wrote this?"}]
CACHED: Any = {"type": "text", "text": "Style book. " * 60, "cache_control": {"type": "ephemeral"}}
TOOL: Any = {"name": "look_up", "input_schema": {"type": "object"}}
CHAT_TOOL: Any = {"type": "function", "function": {"name": "look_up", "parameters": {"type": "object"}}}
RESPONSES_TOOL: Any = {
    "type": "function",
    "name": "look_up",
    "parameters": {"type": "object"},
    "strict": False,
}
ASK_TOOL = 'Please call look_up {"name": "desk"} now'


@pytest.fixture
def claude(provider: SimulatedProvider) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(base_url=provider.base_url, api_key="k", max_retries=0) as client:
        yield client


@pytest.fixture
def gpt(provider: SimulatedProvider) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=provider.openai_base_url, api_key="k", max_retries=0) as client:
        yield client


def read_by_sdk(usage: anthropic.types.Usage) -> Usage:
    lifetimes = usage.cache_creation
    return Usage(
        input_uncached=usage.input_tokens,
        cache_read=usage.cache_read_input_tokens or 0,
        cache_write_5m=lifetimes.ephemeral_5m_input_tokens if lifetimes else 0,
        cache_write_1h=lifetimes.ephemeral_1h_input_tokens if lifetimes else 0,
        output=usage.output_tokens,
        reasoning=usage.output_tokens_details.thinking_tokens if usage.output_tokens_details else 0,
    )


def test_a_message_reports_what_the_provider_counted(provider, claude) -> None:
    message = claude.messages.create(
        model="claude-sonnet-4-6",
        max_tokens=100,
        messages=MESSAGES,
        system=[CACHED],
        metadata={"user_id": "u1"},
    )
    assert message.content[0].text.endswith(".")
    assert read_by_sdk(message.usage) == provider.counted()["u1"].usage
    assert message.usage.cache_read_input_tokens
    assert message._request_id == provider.requests[0].request_id


def test_a_streamed_message_has_the_text_and_usage_of_the_blocking_one(provider, claude) -> None:
    blocking = claude.messages.create(model="c", max_tokens=100, messages=MESSAGES, system=[CACHED])
    with claude.messages.stream(model="c", max_tokens=100, messages=MESSAGES, system=[CACHED]) as stream:
        streamed = stream.get_final_message()
    assert streamed.content[0].text == blocking.content[0].text
    assert read_by_sdk(streamed.usage) == provider.requests[1].reported == provider.requests[0].reported


def test_one_hour_cache_writes_are_reported_apart(provider, claude) -> None:
    lasting = {**CACHED, "cache_control": {"type": "ephemeral", "ttl": "1h"}}
    message = claude.messages.create(model="c", max_tokens=100, messages=MESSAGES, system=[lasting])
    assert message.usage.cache_creation.ephemeral_1h_input_tokens > 0
    assert message.usage.cache_creation.ephemeral_5m_input_tokens == 0


def test_thinking_streams_before_the_text_and_counts_as_output(provider, claude) -> None:
    thinking: Any = {"type": "enabled", "budget_tokens": 1024}
    with claude.messages.stream(model="c", max_tokens=2048, messages=MESSAGES, thinking=thinking) as stream:
        message = stream.get_final_message()
    assert [block.type for block in message.content] == ["thinking", "text"]
    usage = provider.requests[0].reported
    assert 0 < usage.reasoning < usage.output == message.usage.output_tokens


def test_a_message_stream_opens_with_a_ping_and_ends_with_cumulative_usage(claude) -> None:
    with claude.messages.create(model="c", max_tokens=99, messages=MESSAGES, stream=True) as stream:
        kinds = [event.type for event in stream]
    assert kinds[0] == "message_start"
    assert kinds[-2:] == ["message_delta", "message_stop"]


def test_an_asked_for_tool_is_called_once_and_then_answered_in_words(claude) -> None:
    turn: dict[str, Any] = {"model": "c", "max_tokens": 100, "tools": [TOOL]}
    asked: list[Any] = [{"role": "user", "content": ASK_TOOL}]
    with claude.messages.stream(**turn, messages=asked) as stream:
        first = stream.get_final_message()
    call = first.content[-1]
    assert (first.stop_reason, call.name, call.input) == ("tool_use", "look_up", {"name": "desk"})
    result = {"type": "tool_result", "tool_use_id": call.id, "content": "found"}
    asked += [{"role": "assistant", "content": first.content}, {"role": "user", "content": [result]}]
    assert claude.messages.create(**turn, messages=asked).stop_reason == "end_turn"


def test_counting_tokens_agrees_with_the_message_that_follows(provider, claude) -> None:
    counted = claude.messages.count_tokens(model="c", messages=MESSAGES, system=[CACHED])
    claude.messages.create(model="c", max_tokens=100, messages=MESSAGES, system=[CACHED])
    assert counted.input_tokens == provider.requests[1].reported.input
    assert not provider.requests[0].generates


def test_an_answer_longer_than_allowed_is_cut_at_the_limit(claude, gpt) -> None:
    message = claude.messages.create(model="c", max_tokens=3, messages=MESSAGES)
    chat = gpt.chat.completions.create(model="g", max_completion_tokens=3, messages=MESSAGES)
    response = gpt.responses.create(
        model="g", max_output_tokens=16, input="Hello", extra_headers={"x-simulate": "events=40"}
    )
    assert (message.stop_reason, message.usage.output_tokens) == ("max_tokens", 3)
    assert chat.choices[0].finish_reason == "length"
    assert (response.status, response.incomplete_details.reason) == ("incomplete", "max_output_tokens")


def test_a_chat_completion_reports_what_the_provider_counted(provider, gpt) -> None:
    chat = gpt.chat.completions.create(model="g", messages=MESSAGES, user="u2")
    counted = provider.counted()["u2"].usage
    assert (chat.usage.prompt_tokens, chat.usage.completion_tokens) == (counted.input, counted.output)


def test_a_chat_stream_carries_usage_only_when_asked(provider, gpt) -> None:
    turn: dict[str, Any] = {"model": "g", "messages": MESSAGES, "stream": True}
    with gpt.chat.completions.create(**turn) as stream:
        silent = list(stream)
    with gpt.chat.completions.create(**turn, stream_options={"include_usage": True}) as stream:
        telling = list(stream)
    assert all(chunk.usage is None and chunk.choices for chunk in silent)
    assert telling[-1].choices == []
    assert telling[-1].usage.completion_tokens == provider.requests[1].reported.output
    assert provider.requests[0].reported is None


def test_a_chat_stream_can_call_a_tool(gpt) -> None:
    asked: list[Any] = [{"role": "user", "content": ASK_TOOL}]
    with gpt.chat.completions.stream(model="g", messages=asked, tools=[CHAT_TOOL]) as stream:
        choice = stream.get_final_completion().choices[0]
    assert choice.finish_reason == "tool_calls"
    assert choice.message.tool_calls[0].function.arguments == '{"name": "desk"}'


def test_long_openai_prompts_are_cached_in_steps_of_128(provider, gpt) -> None:
    gpt.responses.create(model="g", input="Style book. " * 900, safety_identifier="u3")
    usage = provider.counted()["u3"].usage
    assert usage.cache_read >= 1024
    assert usage.cache_read % 128 == 0


def test_a_response_stream_numbers_its_events_and_ends_complete(provider, gpt) -> None:
    reasoning: Any = {"effort": "high"}
    with gpt.responses.stream(
        model="g", input=ASK_TOOL, reasoning=reasoning, tools=[RESPONSES_TOOL]
    ) as stream:
        events = list(stream)
        response = stream.get_final_response()
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert [item.type for item in response.output] == ["reasoning", "message", "function_call"]
    assert (
        response.usage.output_tokens_details.reasoning_tokens == provider.requests[0].reported.reasoning > 0
    )
    assert response.usage.input_tokens == provider.requests[0].reported.input


def test_models_are_listed_in_the_shape_of_the_family_that_asks(claude, gpt) -> None:
    assert next(iter(claude.models.list())).id.startswith("claude-")
    assert next(iter(gpt.models.list())).id.startswith("gpt-")
