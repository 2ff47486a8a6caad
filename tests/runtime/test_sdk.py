"""The official clients, each call form against a provider that captures what it is sent."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import anthropic
import openai
import pytest

import byline
from byline.runtime.answers import AnswerHead
from byline.testing import SeenRequest, SimulatedProvider

IDENTITY = '{"user": "ana", "job": "nightly-1208"}'
MESSAGES: list[Any] = [{"role": "user", "content": "Who wrote this?"}]
CLAUDE: dict[str, Any] = {"model": "claude-sonnet-4-6", "max_tokens": 50, "messages": MESSAGES}
CHAT: dict[str, Any] = {"model": "gpt-5.1", "messages": MESSAGES}
RESPONSE: dict[str, Any] = {"model": "gpt-5.1", "input": "Who wrote this?"}


@pytest.fixture(autouse=True)
def identity(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BYLINE_IDENTITY", IDENTITY)


def claude(provider: SimulatedProvider, **more: Any) -> anthropic.Anthropic:
    return byline.instrument(
        anthropic.Anthropic(**{"base_url": provider.base_url, "api_key": "k", "max_retries": 0} | more)
    )


def gpt(provider: SimulatedProvider, **more: Any) -> openai.OpenAI:
    return byline.instrument(
        openai.OpenAI(**{"base_url": provider.openai_base_url, "api_key": "k", "max_retries": 0} | more)
    )


def only(provider: SimulatedProvider) -> SeenRequest:
    (seen,) = provider.requests
    return seen


def stream_message(client: anthropic.Anthropic) -> None:
    with client.messages.stream(**CLAUDE) as stream:
        assert stream.get_final_message().content


def stream_beta(client: anthropic.Anthropic) -> None:
    with client.beta.messages.stream(**CLAUDE) as stream:
        assert stream.get_final_message().content


MESSAGE_CALLS: dict[str, Callable[[anthropic.Anthropic], object]] = {
    "create": lambda client: client.messages.create(**CLAUDE),
    "create stream": lambda client: list(client.messages.create(**CLAUDE, stream=True)),
    "stream": stream_message,
    "beta create": lambda client: client.beta.messages.create(**CLAUDE),
    "beta stream": stream_beta,
    "raw": lambda client: client.messages.with_raw_response.create(**CLAUDE).parse(),
    "options": lambda client: client.with_options(timeout=9).messages.create(**CLAUDE),
    "copy": lambda client: client.copy(base_url=client.base_url).messages.create(**CLAUDE),
    "shallow copy": lambda client: copy.copy(client).messages.create(**CLAUDE),
}


@pytest.mark.parametrize("form", MESSAGE_CALLS)
def test_messages_carry_the_identity(provider, form):
    with claude(provider) as client:
        MESSAGE_CALLS[form](client)
    assert only(provider).json()["metadata"] == {"user_id": IDENTITY}


@pytest.mark.parametrize("beta", [False, True])
def test_each_request_of_a_batch_gets_its_own(provider, beta):
    named = {**CLAUDE, "metadata": {"user_id": "named"}}
    requests: list[Any] = [{"custom_id": "1", "params": CLAUDE}, {"custom_id": "2", "params": named}]
    with claude(provider) as client, suppress(anthropic.APIStatusError):
        (client.beta if beta else client).messages.batches.create(requests=requests)
    sent = only(provider).json()["requests"]
    assert [request["params"]["metadata"]["user_id"] for request in sent] == [IDENTITY, "named"]


def test_counting_tokens_has_no_such_field(provider):
    with claude(provider) as client:
        client.messages.count_tokens(model="claude-sonnet-4-6", messages=MESSAGES)
    assert "metadata" not in only(provider).json()


def test_what_the_call_itself_says_counts_most(provider):
    with claude(provider) as client, byline.identify(user="ben", job="other"):
        client.messages.create(**CLAUDE, metadata={"user_id": "named"})
        client.messages.create(**CLAUDE, extra_body={"metadata": {"user_id": "in the extra body"}})
        client.messages.create(**CLAUDE)
    sent = [seen.json()["metadata"]["user_id"] for seen in provider.requests]
    assert sent == ["named", "in the extra body", '{"user":"ben","job":"other"}']


def test_other_metadata_stays_and_the_callers_objects_are_not_touched(provider):
    metadata: Any = {"team": "search"}
    params = {**CLAUDE, "metadata": metadata}
    with claude(provider) as client, suppress(anthropic.BadRequestError):
        client.messages.create(**params)
    assert only(provider).json()["metadata"] == {"team": "search", "user_id": IDENTITY}
    assert metadata == {"team": "search"}


def test_without_an_identity_nothing_is_added(provider, monkeypatch):
    monkeypatch.delenv("BYLINE_IDENTITY")
    with claude(provider) as client:
        client.messages.create(**CLAUDE)
    assert "metadata" not in only(provider).json()


def test_retries_carry_it_as_well(provider):
    provider.simulate("status=529; retry-after=0.001")
    with claude(provider, max_retries=1) as client:
        client.messages.create(**CLAUDE)
    assert [seen.json()["metadata"]["user_id"] for seen in provider.requests] == [IDENTITY] * 2


@pytest.mark.parametrize("stream", [False, True])
def test_bedrock_calls_carry_it(provider, stream):
    client = anthropic.AnthropicBedrock(
        api_key="k", aws_region="us-east-1", base_url=provider.base_url, max_retries=0
    )
    with byline.instrument(client), suppress(anthropic.APIStatusError):
        client.messages.create(**CLAUDE, stream=stream)
    assert only(provider).path.startswith("/model/claude-sonnet-4-6/invoke")
    assert only(provider).json()["metadata"] == {"user_id": IDENTITY}


def test_vertex_calls_carry_it(provider):
    client = anthropic.AnthropicVertex(
        access_token="t", project_id="p", region="r", base_url=provider.base_url, max_retries=0
    )
    with byline.instrument(client), suppress(anthropic.APIStatusError):
        client.messages.create(**CLAUDE)
    assert only(provider).path.endswith(":rawPredict")
    assert only(provider).json()["metadata"] == {"user_id": IDENTITY}


def stream_chat(client: openai.OpenAI) -> None:
    with client.chat.completions.stream(**CHAT) as stream:
        stream.get_final_completion()


def stream_response(client: openai.OpenAI) -> None:
    with client.responses.stream(**RESPONSE) as stream:
        stream.get_final_response()


OPENAI_CALLS: dict[str, tuple[str, Callable[[openai.OpenAI], object]]] = {
    "chat": ("user", lambda client: client.chat.completions.create(**CHAT)),
    "chat stream": ("user", lambda client: list(client.chat.completions.create(**CHAT, stream=True))),
    "chat helper": ("user", stream_chat),
    "responses": ("safety_identifier", lambda client: client.responses.create(**RESPONSE)),
    "responses stream": (
        "safety_identifier",
        lambda client: list(client.responses.create(**RESPONSE, stream=True)),
    ),
    "responses helper": ("safety_identifier", stream_response),
    "raw": ("user", lambda client: client.chat.completions.with_raw_response.create(**CHAT).parse()),
    "options": (
        "safety_identifier",
        lambda client: client.with_options(timeout=9).responses.create(**RESPONSE),
    ),
}


@pytest.mark.parametrize("form", OPENAI_CALLS)
def test_openai_calls_carry_the_identity(provider, form):
    field, call = OPENAI_CALLS[form]
    with gpt(provider) as client:
        call(client)
    assert only(provider).json()[field] == IDENTITY


def test_azure_calls_carry_it(provider):
    client = openai.AzureOpenAI(api_key="k", azure_endpoint=provider.base_url, api_version="1", max_retries=0)
    with byline.instrument(client), suppress(openai.APIStatusError):
        client.chat.completions.create(**CHAT)
    assert "/deployments/gpt-5.1/" in only(provider).path
    assert only(provider).json()["user"] == IDENTITY


def test_what_an_openai_call_itself_says_counts_most(provider):
    with gpt(provider) as client:
        client.chat.completions.create(**CHAT, user="named")
        client.responses.create(**RESPONSE, extra_body={"safety_identifier": "named"})
    assert [seen.identity for seen in provider.requests] == ["named", "named"]


def test_what_is_too_long_for_openai_is_hashed(provider):
    with gpt(provider) as client, byline.identify(user="ana", job="j" * 60):
        client.responses.create(**RESPONSE)
    assert len(only(provider).json()["safety_identifier"]) == 64


def test_async_clients_carry_it(provider):
    async def call() -> None:
        async with anthropic.AsyncAnthropic(base_url=provider.base_url, api_key="k") as client:
            byline.instrument(client)
            await client.messages.create(**CLAUDE)
            async with client.with_options(timeout=9).messages.stream(**CLAUDE) as stream:
                await stream.get_final_message()
        async with openai.AsyncOpenAI(base_url=provider.openai_base_url, api_key="k") as client:
            byline.instrument(client)
            await client.chat.completions.create(**CHAT)
            async with client.responses.stream(**RESPONSE) as stream:
                await stream.get_final_response()

    asyncio.run(call())
    assert [seen.identity for seen in provider.requests] == [IDENTITY] * 4


def test_users_of_one_client_side_by_side_stay_apart(provider):
    async def ask(client: anthropic.AsyncAnthropic, user: str) -> None:
        byline.identify(user=user, job="chat")
        await client.messages.create(**{**CLAUDE, "messages": [{"role": "user", "content": user}]})

    async def all_of_them() -> None:
        async with anthropic.AsyncAnthropic(base_url=provider.base_url, api_key="k") as client:
            byline.instrument(client)
            await asyncio.gather(*(ask(client, f"user-{number}") for number in range(20)))

    asyncio.run(all_of_them())
    assert len(provider.requests) == 20
    for seen in provider.requests:
        body = seen.json()
        assert body["metadata"]["user_id"] == f'{{"user":"{body["messages"][0]["content"]}","job":"chat"}}'


def test_towards_a_gateway_the_claims_go_in_headers_too(provider):
    with gpt(provider, api_key="byl_x") as client, byline.identify(user="ana", job="j" * 60):
        client.responses.create(**RESPONSE, extra_headers={"X-Byline-User": "ben"})
    seen = only(provider)
    assert (seen.header("x-byline-user"), seen.header("x-byline-job")) == ("ben", "j" * 60)


def test_towards_a_provider_they_do_not(provider):
    with claude(provider) as client:
        client.messages.create(**CLAUDE)
    assert only(provider).header("x-byline-job") is None


def test_a_client_keeps_its_type_and_can_be_released(provider):
    original = anthropic.Anthropic(base_url=provider.base_url, api_key="k")
    kind = type(original)
    with byline.instrument(original) as client:
        assert client is original
        assert isinstance(client, anthropic.Anthropic)
        assert type(client).__qualname__ == kind.__qualname__
        byline.instrument(client)
        client.messages.create(**CLAUDE)
        byline.uninstrument(client)
        assert type(client) is kind
        assert client._client.event_hooks["response"] == []
        client.messages.create(**CLAUDE)
        byline.uninstrument(client)
    assert [seen.identity for seen in provider.requests] == [IDENTITY, None]


def test_the_head_of_every_answer_is_observed_refusals_included(provider):
    heads: list[AnswerHead] = []
    byline.observe_answers(heads.append)
    provider.simulate("status=429; retry-after=0.001")
    with claude(provider, max_retries=1) as client:
        client.messages.create(**CLAUDE)
        client.models.list()
    assert [(head.family, head.api, head.status, head.model) for head in heads] == [
        ("anthropic", "messages", 429, "claude-sonnet-4-6"),
        ("anthropic", "messages", 200, "claude-sonnet-4-6"),
    ]
    assert "anthropic-ratelimit-requests-limit" in heads[1].headers
    assert heads[1].server_address == "127.0.0.1"


def own_messages(caplog: pytest.LogCaptureFixture) -> list[str]:
    """The HTTP clients log as well, where a level lets them."""
    return [record.message for record in caplog.records if record.name.startswith("byline")]


def test_a_broken_observer_does_not_break_the_call(provider, caplog):
    def broken(head: AnswerHead) -> None:
        raise RuntimeError("sk-secret")

    byline.observe_answers(broken)
    with claude(provider) as client:
        assert client.messages.create(**CLAUDE).content
    assert own_messages(caplog) == [
        "byline: an observer of answers failed (RuntimeError); the call itself is not affected"
    ]


def test_a_defect_of_our_own_does_not_break_the_call(provider, monkeypatch, caplog):
    monkeypatch.setattr("byline.runtime.sdk.current_identity", lambda: 1 / 0)
    with claude(provider) as client:
        assert client.messages.create(**CLAUDE).content
    assert len(own_messages(caplog)) == 1


@pytest.mark.parametrize("other", [object(), "client", None, 7])
def test_what_is_no_client_is_named(other):
    with pytest.raises(TypeError, match=type(other).__name__):
        byline.instrument(other)
