"""What the simulated model is asked and what it says, whatever the API.

The model has one skill: it makes the tool calls that the user's own words ask for. A prompt such as
`call Bash {"command": "echo hi"}` makes it call the tool `Bash` with these arguments, if that tool
is offered; several calls are made one per turn, and then it answers in words.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from byline.testing.tokens import Usage, draw

Finish = Literal["stop", "length", "tool"]

_CALL = re.compile(r"\bcall ([A-Za-z_][\w.-]*) (?=\{)")
_THOUGHT = "The request is plain, so a short and direct answer will do."
_SAYING = (
    "the desk keeps a ledger of every story and puts the name of its author under each headline "
    "so that readers know whom to thank and editors know whom to ask when a line needs another look"
)
_WORDS = _SAYING.split()


@dataclass(frozen=True, slots=True)
class ToolCall:
    name: str
    arguments: str
    """JSON text, as the user wrote it."""


@dataclass(frozen=True, slots=True)
class Turn:
    """One message of the conversation so far, reduced to what decides the next one."""

    user_text: str = ""
    tool_calls: int = 0
    """How many calls the assistant made in this message."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """A request, reduced to what the simulated model looks at."""

    model: str
    streaming: bool
    material: bytes
    """The prompt and tools as sent: what token counts are drawn from."""
    input_usage: Usage
    turns: Sequence[Turn]
    tools: frozenset[str] = frozenset()
    thinks: bool = False
    wants_usage: bool = True
    """False only for a chat stream that did not ask."""
    max_output_tokens: int | None = None
    identity: str | None = None


@dataclass(frozen=True, slots=True)
class Reply:
    """What the model says. Words are the unit of streaming: one delta each."""

    thinking: tuple[str, ...]
    words: tuple[str, ...]
    tool_call: ToolCall | None
    finish: Finish
    usage: Usage

    @property
    def text(self) -> str:
        return "".join(self.words)


def reply_to(prompt: Prompt, seed: int, *, text: str | None = None, events: int | None = None) -> Reply:
    """`text` and `events` say what it says, and in how many deltas, instead of the drawn words."""
    call = _next_call(prompt)
    thinking = _pieces(_THOUGHT) if prompt.thinks else ()
    words = _words(prompt.material, seed, text, events)
    room = (prompt.max_output_tokens or len(words) + len(thinking)) - len(thinking)
    kept = words[: max(room, 1)]
    usage = replace_output(prompt.input_usage, len(thinking), len(kept), call)
    finish: Finish = "tool" if call else "length" if len(kept) < len(words) else "stop"
    return Reply(thinking, kept, call, finish, usage)


def replace_output(counted: Usage, reasoning: int, words: int, call: ToolCall | None) -> Usage:
    output = reasoning + words + (len(call.arguments) // 4 + 8 if call else 0)
    return Usage(
        counted.input_uncached,
        counted.cache_read,
        counted.cache_write_5m,
        counted.cache_write_1h,
        output,
        reasoning,
    )


def with_usage(reply: Reply, usage: Usage) -> Reply:
    return replace(reply, usage=usage)


def _words(material: bytes, seed: int, text: str | None, events: int | None) -> tuple[str, ...]:
    if text is not None:
        return _pieces(text)
    count = events or 6 + draw(seed + 2, material, 12)
    first = draw(seed + 3, material, len(_WORDS))
    chosen = [_WORDS[(first + step) % len(_WORDS)] for step in range(count)]
    return _pieces(" ".join(chosen).capitalize() + ".")


def _pieces(text: str) -> tuple[str, ...]:
    """Words with their leading space, which is how providers stream them."""
    return tuple(re.findall(r"\s*\S+|\s+$", text))


def _next_call(prompt: Prompt) -> ToolCall | None:
    """The first asked-for call that has not been made since it was asked for."""
    asked: list[ToolCall] = []
    made = 0
    for turn in prompt.turns:
        if new := list(_asked_calls(turn.user_text, prompt.tools)):
            asked, made = new, 0
        made += turn.tool_calls
    return asked[made] if made < len(asked) else None


def _asked_calls(text: str, offered: frozenset[str]) -> Iterable[ToolCall]:
    position = 0
    while match := _CALL.search(text, position):
        try:
            _, position = json.JSONDecoder().raw_decode(text, match.end())
        except ValueError:
            position = match.end()
            continue
        if match[1] in offered:
            yield ToolCall(match[1], text[match.end() : position])
