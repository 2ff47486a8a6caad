"""Token counts of the simulated provider: made up, but the same for the same prompt and seed.

Counts depend on the prompt and the tools alone, never on identity fields or on
`stream_options`: a request counts the same before and after a gateway has stamped it.
"""

from __future__ import annotations

import zlib
from typing import Literal

import msgspec

CacheLifetime = Literal["5m", "1h"]
OPENAI_CACHE_MINIMUM = 1024
"""OpenAI caches prompts of this many tokens and more, without being asked."""


class Usage(msgspec.Struct, frozen=True, rename="kebab", forbid_unknown_fields=True):
    """What one answer reports. `output` includes `reasoning`."""

    input_uncached: int = 0
    cache_read: int = 0
    cache_write_5m: int = 0
    cache_write_1h: int = 0
    output: int = 0
    reasoning: int = 0

    @property
    def cache_write(self) -> int:
        return self.cache_write_5m + self.cache_write_1h

    @property
    def input(self) -> int:
        return self.input_uncached + self.cache_read + self.cache_write

    def __add__(self, other: Usage) -> Usage:
        mine, theirs = msgspec.structs.astuple(self), msgspec.structs.astuple(other)
        return Usage(*(a + b for a, b in zip(mine, theirs, strict=True)))


def draw(seed: int, material: bytes, below: int) -> int:
    """A number below `below` that depends on nothing but the arguments."""
    return zlib.crc32(b"%d:" % seed + material) % below


def anthropic_input(seed: int, prompt: bytes, lifetime: CacheLifetime | None) -> Usage:
    """Anthropic caches only what carries `cache_control`, and reports reads and writes apart."""
    total = _total(seed, prompt)
    if lifetime is None:
        return Usage(input_uncached=total)
    cached = total * 7 // 10
    written = cached * (1 + draw(seed + 1, prompt, 4)) // 10
    return Usage(
        input_uncached=total - cached,
        cache_read=cached - written,
        cache_write_5m=written if lifetime == "5m" else 0,
        cache_write_1h=written if lifetime == "1h" else 0,
    )


def openai_input(seed: int, prompt: bytes) -> Usage:
    """OpenAI reports cached tokens in steps of 128."""
    total = _total(seed, prompt)
    if total < OPENAI_CACHE_MINIMUM:
        return Usage(input_uncached=total)
    cached = OPENAI_CACHE_MINIMUM + 128 * draw(seed + 1, prompt, (total - OPENAI_CACHE_MINIMUM) // 128 + 1)
    return Usage(input_uncached=total - cached, cache_read=cached)


def _total(seed: int, prompt: bytes) -> int:
    return len(prompt) // 4 + 3 + draw(seed, prompt, 7)
