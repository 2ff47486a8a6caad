"""What an editor knows of a client is what it knew before."""

from __future__ import annotations

from typing import Any, assert_type

import anthropic
import openai

import byline

assert_type(byline.instrument(anthropic.Anthropic()), anthropic.Anthropic)
assert_type(byline.instrument(anthropic.AsyncAnthropic()), anthropic.AsyncAnthropic)
assert_type(byline.instrument(openai.AsyncOpenAI()), openai.AsyncOpenAI)
assert_type(byline.uninstrument(openai.OpenAI()), openai.OpenAI)
assert_type(byline.child_env(user="ana", job="7"), dict[str, str])
messages: list[Any] = []
assert_type(
    byline.instrument(anthropic.Anthropic()).messages.create(model="m", max_tokens=1, messages=messages),
    anthropic.types.Message,
)
with byline.identify(user="ana"):
    byline.record_usage(data_dir="byline-data")
