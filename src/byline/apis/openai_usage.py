"""OpenAI's two `usage` objects as disjoint token counts. Their input counts include the cache."""

from __future__ import annotations

import msgspec

from byline.apis import values
from byline.apis.api import Reading
from byline.apis.values import Members


class UsageNames(msgspec.Struct, frozen=True):
    """The same counts go by other names in chat completions and in responses."""

    input: str
    output: str
    input_details: str
    output_details: str


CHAT = UsageNames("prompt_tokens", "completion_tokens", "prompt_tokens_details", "completion_tokens_details")
RESPONSES = UsageNames("input_tokens", "output_tokens", "input_tokens_details", "output_tokens_details")


def apply_usage(usage: Members, names: UsageNames, reading: Reading) -> None:
    """Fills the reading's counts; a count that the object lacks is None."""
    inputs = values.members(usage.get(names.input_details)) or {}
    outputs = values.members(usage.get(names.output_details)) or {}
    total = values.count(usage.get(names.input))
    read = values.count(inputs.get("cached_tokens"))
    written = values.count(inputs.get("cache_write_tokens"))
    reading.cache_read_tokens = read
    reading.cache_write_tokens = written
    # Some compatible servers count a cached prefix that is longer than the prompt they report.
    reading.input_uncached_tokens = None if total is None else max(0, total - (read or 0) - (written or 0))
    reading.output_tokens = values.count(usage.get(names.output))
    reading.reasoning_tokens = values.count(outputs.get("reasoning_tokens"))
