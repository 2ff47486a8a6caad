"""Frameworks on top of the SDKs, as programs that know nothing but their environment."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest

LANGCHAIN_ANTHROPIC = """
from langchain_anthropic import ChatAnthropic
model = ChatAnthropic(model_name="claude-sonnet-4-6", max_tokens=99)
blocking, streamed = model.invoke(QUESTION), merged(model.stream(QUESTION))
told(blocking.usage_metadata, streamed.usage_metadata)
"""
LANGCHAIN_OPENAI = """
from langchain_openai import ChatOpenAI
model = ChatOpenAI(model="gpt-5.1", use_responses_api=RESPONSES)
blocking, streamed = model.invoke(QUESTION), merged(model.stream(QUESTION))
told(blocking.usage_metadata, streamed.usage_metadata)
"""
PYDANTIC_AI = """
from pydantic_ai import Agent
agent = Agent(MODEL)
blocking, streamed = agent.run_sync(QUESTION), agent.run_stream_sync(QUESTION)
assert streamed.get_output()
told(*({"input_tokens": one.usage.input_tokens, "output_tokens": one.usage.output_tokens}
       for one in (blocking, streamed)))
"""
PROLOGUE = """
import json, sys
QUESTION = "Who wrote this?"

def merged(chunks):
    whole, *rest = chunks
    for chunk in rest:
        whole += chunk
    return whole

def told(*usages):
    print(json.dumps([usage and [usage["input_tokens"], usage["output_tokens"]] for usage in usages]))
"""


def run_program(gateway, key: str, program: str) -> list[list[int] | None]:
    """What the program was told of its two calls: input and output tokens each."""
    environ = {
        "PATH": os.environ["PATH"],
        "ANTHROPIC_BASE_URL": gateway.base_url,
        "ANTHROPIC_API_KEY": key,
        "OPENAI_BASE_URL": gateway.openai_base_url,
        "OPENAI_API_KEY": key,
    }
    command = [sys.executable, "-c", PROLOGUE + program]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout)


def counted(gateway, user: str) -> list[list[int]]:
    rows = gateway.settled_rows(2, user=user)
    assert rows[1]["streaming"]
    for row in rows:
        assert row["identifier"] == row["actor_id"] == gateway.seen(row).identity
    return [_counts(row) for row in rows]


def _counts(row: dict[str, Any]) -> list[int]:
    return [row["input_tokens"], row["output_tokens"]]


def test_langchain_anthropic(gateway) -> None:
    told = run_program(gateway, gateway.key("langchain-anthropic"), LANGCHAIN_ANTHROPIC)
    assert told == counted(gateway, "langchain-anthropic")


def test_langchain_openai_is_counted_though_its_chat_streams_do_not_ask_for_usage(gateway) -> None:
    program = LANGCHAIN_OPENAI.replace("RESPONSES", "False")
    blocking, streamed = run_program(gateway, gateway.key("langchain-chat"), program)
    rows = counted(gateway, "langchain-chat")
    assert (blocking, streamed) == (rows[0], None)
    assert rows[1] == rows[0]


def test_langchain_openai_responses(gateway) -> None:
    program = LANGCHAIN_OPENAI.replace("RESPONSES", "True")
    told = run_program(gateway, gateway.key("langchain-responses"), program)
    assert told == counted(gateway, "langchain-responses")


@pytest.mark.parametrize(
    "model", ["anthropic:claude-sonnet-4-6", "openai-chat:gpt-5.1", "openai-responses:gpt-5.1"]
)
def test_pydantic_ai(gateway, model) -> None:
    user = f"pydantic-ai-{model.partition(':')[0]}"
    program = PYDANTIC_AI.replace("MODEL", repr(model))
    assert run_program(gateway, gateway.key(user), program) == counted(gateway, user)
