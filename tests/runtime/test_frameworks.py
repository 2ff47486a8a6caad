"""pydantic-ai and LangChain programs carry the identity with one line added: the one with `byline`."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

IDENTITY = '{"user": "ana", "job": "nightly-1208"}'
PYDANTIC_AI_MODEL = """
import byline
from pydantic_ai import Agent
from pydantic_ai.models.{module} import {model}

agent = Agent(byline.instrument({model}("{name}")))
agent.run_sync("hi")
agent.run_stream_sync("hi").get_output()
"""
PYDANTIC_AI_PROVIDER = """
import byline, httpx2
from pydantic_ai import Agent
from pydantic_ai.models.anthropic import AnthropicModel
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.anthropic import AnthropicProvider
from pydantic_ai.providers.openai import OpenAIProvider

http_client = byline.instrument(httpx2.AsyncClient())
Agent(AnthropicModel("claude-sonnet-4-6", provider=AnthropicProvider(http_client=http_client))).run_sync("hi")
Agent(OpenAIChatModel("gpt-5.1", provider=OpenAIProvider(http_client=http_client))).run_sync("hi")
"""
LANGCHAIN_OPENAI = """
import asyncio, byline
from langchain_openai import ChatOpenAI

model = byline.instrument(ChatOpenAI(model="gpt-5.1", use_responses_api={use_responses_api}))
model.invoke("hi")
list(model.stream("hi"))
asyncio.run(model.ainvoke("hi"))
"""
LANGCHAIN_ANTHROPIC = """
import asyncio, byline
from langchain_anthropic import ChatAnthropic

model = byline.instrument(ChatAnthropic(model_name="claude-sonnet-4-6", max_tokens=99))
model.invoke("hi")
list(model.stream("hi"))
asyncio.run(model.ainvoke("hi"))
"""
LANGCHAIN_HTTP_CLIENT = """
import byline, httpx
from langchain_openai import ChatOpenAI

ChatOpenAI(model="gpt-5.1", http_client=byline.instrument(httpx.Client())).invoke("hi")
"""
PROGRAMS = {
    "pydantic-ai anthropic": PYDANTIC_AI_MODEL.format(
        module="anthropic", model="AnthropicModel", name="claude-sonnet-4-6"
    ),
    "pydantic-ai chat": PYDANTIC_AI_MODEL.format(module="openai", model="OpenAIChatModel", name="gpt-5.1"),
    "pydantic-ai responses": PYDANTIC_AI_MODEL.format(
        module="openai", model="OpenAIResponsesModel", name="gpt-5.1"
    ),
    "pydantic-ai http client": PYDANTIC_AI_PROVIDER,
    "langchain chat": LANGCHAIN_OPENAI.format(use_responses_api=False),
    "langchain responses": LANGCHAIN_OPENAI.format(use_responses_api=True),
    "langchain anthropic": LANGCHAIN_ANTHROPIC,
    "langchain http client": LANGCHAIN_HTTP_CLIENT,
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_every_call_of_the_program_carries_the_identity(provider, name):
    environ = {
        "PATH": os.environ["PATH"],
        "ANTHROPIC_BASE_URL": provider.base_url,
        "ANTHROPIC_API_KEY": "k",
        "OPENAI_BASE_URL": provider.openai_base_url,
        "OPENAI_API_KEY": "k",
        "BYLINE_IDENTITY": IDENTITY,
    }
    done = subprocess.run(
        [sys.executable, "-c", PROGRAMS[name]], env=environ, capture_output=True, text=True, timeout=100
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert provider.requests
    assert {seen.identity for seen in provider.requests} == {IDENTITY}
