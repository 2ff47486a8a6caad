"""pydantic-ai and LangChain carry the identity with one line added."""

from __future__ import annotations

import httpx
import httpx2
import pytest
from langchain_anthropic import ChatAnthropic
from langchain_openai import ChatOpenAI
from pydantic_ai import Agent
from pydantic_ai.models.anthropic import AnthropicModel
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel
from pydantic_ai.providers.anthropic import AnthropicProvider
from pydantic_ai.providers.openai import OpenAIProvider

import byline

IDENTITY = '{"user": "ana", "job": "nightly-1208"}'


@pytest.fixture(autouse=True)
def environment(monkeypatch, provider):
    monkeypatch.setenv("BYLINE_IDENTITY", IDENTITY)
    monkeypatch.setenv("ANTHROPIC_BASE_URL", provider.base_url)
    monkeypatch.setenv("ANTHROPIC_API_KEY", "k")
    monkeypatch.setenv("OPENAI_BASE_URL", provider.openai_base_url)
    monkeypatch.setenv("OPENAI_API_KEY", "k")


@pytest.mark.parametrize("model", [AnthropicModel, OpenAIChatModel, OpenAIResponsesModel])
def test_a_pydantic_ai_model(provider, model):
    model = model("claude-sonnet-4-6" if model is AnthropicModel else "gpt-5.1")
    agent = Agent(byline.instrument(model))
    assert agent.run_sync("hi").output
    assert agent.run_stream_sync("hi").get_output()
    assert [seen.identity for seen in provider.requests] == [IDENTITY, IDENTITY]


def test_a_pydantic_ai_provider_with_an_http_client(provider):
    anthropic = AnthropicProvider(http_client=byline.instrument(httpx2.AsyncClient()))
    assert Agent(AnthropicModel("claude-sonnet-4-6", provider=anthropic)).run_sync("hi").output
    openai = OpenAIProvider(http_client=byline.instrument(httpx2.AsyncClient()))
    assert Agent(OpenAIChatModel("gpt-5.1", provider=openai)).run_sync("hi").output
    assert [seen.identity for seen in provider.requests] == [IDENTITY, IDENTITY]


@pytest.mark.parametrize("use_responses_api", [False, True])
def test_a_langchain_openai_model(provider, use_responses_api):
    model = byline.instrument(ChatOpenAI(model="gpt-5.1", use_responses_api=use_responses_api))
    assert model.invoke("hi").content
    assert list(model.stream("hi"))
    assert [seen.identity for seen in provider.requests] == [IDENTITY, IDENTITY]


def test_a_langchain_anthropic_model(provider):
    model = byline.instrument(ChatAnthropic(model_name="claude-sonnet-4-6", max_tokens=99))
    assert model.invoke("hi").content
    assert list(model.stream("hi"))
    assert [seen.identity for seen in provider.requests] == [IDENTITY, IDENTITY]


def test_a_langchain_model_with_an_http_client(provider):
    model = ChatOpenAI(model="gpt-5.1", http_client=byline.instrument(httpx.Client()))
    assert model.invoke("hi").content
    assert provider.requests[0].identity == IDENTITY
