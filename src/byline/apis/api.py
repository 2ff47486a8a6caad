"""What each wire API module offers: where the identity goes, and how usage is read.

Sans-I/O: bytes in, values out. A blocking answer is a stream of one chunk.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, Protocol

import msgspec

Buffer = bytes | memoryview
ApiName = Literal["messages", "chat.completions", "responses", "count_tokens", "models", "other"]


Family = Literal["anthropic", "openai"]
"""Whose shapes a provider speaks."""


class BodyError(ValueError):
    """A request body that gateway and provider could read differently, or cannot read at all.

    `str(error)` names the field and is safe to show to the client; it never quotes the body.
    """


class Stamped(msgspec.Struct, frozen=True):
    """A body ready to send: pieces in order, most of them views of the client's bytes."""

    segments: Sequence[Buffer]
    length: int


class RequestFacts(Protocol):
    """What one scan of a request body found. Holds views of the body until `without_body`."""

    @property
    def model(self) -> str | None: ...
    @property
    def streaming(self) -> bool: ...
    @property
    def background(self) -> bool: ...
    @property
    def max_output_tokens(self) -> int | None: ...
    @property
    def client_identifier(self) -> str | None:
        """The string that stood in the identity field; None if absent or not a string."""
        ...

    @property
    def client_metadata(self) -> Mapping[str, str]:
        """The string members of Codex's top-level `client_metadata`; empty elsewhere."""
        ...

    @property
    def asks_for_usage(self) -> bool:
        """False only for a chat stream whose `include_usage` is missing, null or false."""
        ...

    def without_body(self) -> RequestFacts:
        """The same facts for as long as the answer takes, and no longer to be stamped."""
        ...


class Iteration(msgspec.Struct, omit_defaults=True):
    """One entry of Anthropic's `usage.iterations`, with the tokens of its own model.

    Compaction, advisor and failed-fallback entries are not in the top-level counts.
    """

    type: str | None = None
    model: str | None = None
    input_uncached_tokens: int | None = None
    cache_read_tokens: int | None = None
    cache_write_5m_tokens: int | None = None
    cache_write_1h_tokens: int | None = None
    cache_write_tokens: int | None = None
    output_tokens: int | None = None
    in_totals: bool = False
    """True where the top-level counts already include this entry (`type="message"`)."""


class Reading(msgspec.Struct, kw_only=True, omit_defaults=True):
    """What a Meter has read so far. Names and meanings are those of `UsageRecord`."""

    usage_complete: bool | None = None
    """True once the answer's final event (or whole body) was seen."""
    response_id: str | None = None
    model_reported: str | None = None
    finish_reason: str | None = None
    error_type: str | None = None
    """Set by an error inside the answer (`event: error`, `response.failed`, an error object in a 200)."""
    input_uncached_tokens: int | None = None
    cache_read_tokens: int | None = None
    cache_write_tokens: int | None = None
    cache_write_5m_tokens: int | None = None
    cache_write_1h_tokens: int | None = None
    output_tokens: int | None = None
    reasoning_tokens: int | None = None
    web_search_requests: int | None = None
    iterations: list[Iteration] | None = None
    service_tier: str | None = None
    speed: str | None = None
    inference_geo: str | None = None
    raw_usage: bytes | None = None

    def total_input_tokens(self) -> int | None:
        """Uncached + cache read + cache write; None when nothing was reported."""
        uncached, read, written = self.input_uncached_tokens, self.cache_read_tokens, self.cache_write_tokens
        if uncached is None and read is None and written is None:
            return None
        return (uncached or 0) + (read or 0) + (written or 0)


class Meter(Protocol):
    """Reads an answer's bytes as they pass, in any split, in bounded memory; never raises."""

    @property
    def dropped(self) -> int:
        """Events and bodies that were too large to read."""
        ...

    def feed(self, data: bytes) -> None: ...
    def finish(self) -> None:
        """The body has ended as its framing promised."""
        ...

    def reading(self) -> Reading: ...


class Api(Protocol):
    """One wire API. Modules that satisfy it: messages, chat_completions, responses."""

    name: ApiName
    identity_field: str
    """For messages and errors: `metadata.user_id`, `user`, `safety_identifier`."""
    acts_on: frozenset[str]
    """The top-level members of a body that make a difference to `read_request` and `stamp`; no other does."""

    def read_request(self, body: Buffer) -> RequestFacts:
        """Raises BodyError."""
        ...

    def stamp(
        self,
        facts: RequestFacts,
        identifier: str | None,
        *,
        overwrite_other_field: bool = False,
        ask_for_usage: bool = False,
    ) -> Stamped:
        """The body with the identity field set; `None` leaves it. Every other byte stays."""
        ...

    def meter(self, *, streaming: bool) -> Meter: ...
    def read_answer(self, body: bytes, reading: Reading) -> None:
        """Puts into a new reading what the meter of a blocking answer says of a body in one piece."""
        ...
