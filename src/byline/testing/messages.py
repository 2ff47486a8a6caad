"""Anthropic's messages API, as the provider speaks it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Literal

import msgspec

from byline.testing.conversation import Prompt, Reply, ToolCall, Turn
from byline.testing.shape import Event, Family, Ids, Json, Refusal, server_sent
from byline.testing.simulation import Simulation
from byline.testing.tokens import CacheLifetime, Usage, anthropic_input

IDENTIFIER_LIMIT = 256
_PERSONAL = re.compile(r"[^@\s\"]+@[^@\s\"]+\.[a-zA-Z]{2,}")
_SIGNATURE = "EqQBCkYIBxgCKkBzaW11bGF0ZWQtc2lnbmF0dXJlLW9mLWEtdGhpbmtpbmctYmxvY2s="
_STOP_REASONS = {"stop": "end_turn", "length": "max_tokens", "tool": "tool_use"}


class _Block(msgspec.Struct, frozen=True):
    type: str = ""
    text: str = ""


class _Message(msgspec.Struct, frozen=True):
    role: str
    content: str | list[_Block]

    def turn(self) -> Turn:
        blocks = [_Block("text", self.content)] if isinstance(self.content, str) else self.content
        if self.role == "user":
            return Turn(user_text="\n".join(block.text for block in blocks if block.type == "text"))
        return Turn(tool_calls=sum(block.type == "tool_use" for block in blocks))


class _Tool(msgspec.Struct, frozen=True):
    name: str = ""


class _Thinking(msgspec.Struct, frozen=True):
    type: str = "disabled"


class _Metadata(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    user_id: str | None = None


class _Request(msgspec.Struct, frozen=True):
    model: str
    messages: msgspec.Raw
    max_tokens: int | None = None
    stream: bool = False
    system: msgspec.Raw = msgspec.Raw(b"")
    tools: msgspec.Raw = msgspec.Raw(b"")
    thinking: _Thinking | None = None
    metadata: _Metadata | None = None


class Messages:
    """`POST /v1/messages`; with `counts_only`, `POST /v1/messages/count_tokens`."""

    family: Family = "anthropic"

    def __init__(self, *, counts_only: bool = False) -> None:
        self._counts_only = counts_only

    def read(self, body: bytes, seed: int) -> Prompt:
        try:
            request = msgspec.json.decode(body, type=_Request)
            turns = [message.turn() for message in msgspec.json.decode(request.messages, type=list[_Message])]
            tools = msgspec.json.decode(bytes(request.tools) or b"[]", type=list[_Tool])
        except msgspec.DecodeError as error:
            raise Refusal(400, str(error)) from None
        if request.max_tokens is None and not self._counts_only:
            raise Refusal(400, "max_tokens: Field required")
        material = b"".join((request.system, request.messages, request.tools))
        return Prompt(
            model=request.model,
            streaming=request.stream,
            material=material,
            input_usage=anthropic_input(seed, material, _cache_lifetime(material)),
            turns=turns,
            tools=frozenset(tool.name for tool in tools),
            thinks=request.thinking is not None and request.thinking.type != "disabled",
            max_output_tokens=request.max_tokens,
            identity=_checked_identity(request.metadata),
        )

    def whole(self, prompt: Prompt, reply: Reply, ids: Ids, simulation: Simulation) -> Json:
        if self._counts_only:
            return {"input_tokens": reply.usage.input}
        content: list[dict[str, Any]] = []
        if reply.thinking:
            content.append({"type": "thinking", "thinking": "".join(reply.thinking), "signature": _SIGNATURE})
        content.append({"type": "text", "text": reply.text})
        if call := reply.tool_call:
            content.append(_tool_use(call, ids) | {"input": msgspec.json.decode(call.arguments)})
        return _message(prompt, ids) | {
            "content": content,
            "stop_reason": _STOP_REASONS[reply.finish],
            "usage": None
            if simulation.no_usage
            else _opening_usage(reply.usage) | _closing_usage(reply.usage),
        }

    def events(self, prompt: Prompt, reply: Reply, ids: Ids, simulation: Simulation) -> Iterator[Event]:
        opened = msgspec.structs.replace(reply.usage, output=1, reasoning=0)
        usage = {} if simulation.no_usage else {"usage": _opening_usage(opened)}
        known = None if simulation.no_usage else opened
        yield _event("message_start", known, message=_message(prompt, ids) | usage)
        yield _event("ping")
        for index, (block, deltas) in enumerate(_blocks(reply, ids)):
            yield _event("content_block_start", index=index, content_block=block)
            for delta in deltas:
                yield _event("content_block_delta", index=index, delta=delta)
            yield _event("content_block_stop", index=index)
        usage = {} if simulation.no_usage else {"usage": _closing_usage(reply.usage)}
        known = None if simulation.no_usage else reply.usage
        stop = {"stop_reason": _STOP_REASONS[reply.finish], "stop_sequence": None}
        yield _event("message_delta", known, delta=stop, **usage)
        yield _event("message_stop")

    def failure(self, ids: Ids, simulation: Simulation) -> Iterator[Event]:
        kind, message = simulation.error_type or "overloaded_error", simulation.message or "Overloaded"
        yield _event("error", error={"type": kind, "message": message}, request_id=ids.request_id)


def _event(name: str, reported: Usage | None = None, /, **fields: object) -> Event:
    data: Json = {"type": name, **fields}
    return Event(server_sent(data, name, padding=len(str(fields)) % 13), reported)


def _message(prompt: Prompt, ids: Ids) -> dict[str, Any]:
    return {
        "model": prompt.model,
        "id": ids.of("msg_01"),
        "type": "message",
        "role": "assistant",
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
    }


def _blocks(reply: Reply, ids: Ids) -> Iterator[tuple[Json, list[Json]]]:
    if reply.thinking:
        thoughts: list[Json] = [{"type": "thinking_delta", "thinking": word} for word in reply.thinking]
        thoughts.append({"type": "signature_delta", "signature": _SIGNATURE})
        yield {"type": "thinking", "thinking": "", "signature": ""}, thoughts
    yield {"type": "text", "text": ""}, [{"type": "text_delta", "text": word} for word in reply.words]
    if call := reply.tool_call:
        half = len(call.arguments) // 2
        parts = ("", call.arguments[:half], call.arguments[half:])
        yield _tool_use(call, ids), [{"type": "input_json_delta", "partial_json": part} for part in parts]


def _tool_use(call: ToolCall, ids: Ids) -> dict[str, Any]:
    return {"type": "tool_use", "id": ids.of("toolu_01"), "name": call.name, "input": {}}


def _opening_usage(usage: Usage) -> dict[str, Any]:
    by_lifetime = {
        "ephemeral_5m_input_tokens": usage.cache_write_5m,
        "ephemeral_1h_input_tokens": usage.cache_write_1h,
    }
    return {
        "input_tokens": usage.input_uncached,
        "cache_creation_input_tokens": usage.cache_write,
        "cache_read_input_tokens": usage.cache_read,
        "cache_creation": by_lifetime,
        "output_tokens": usage.output,
        "service_tier": "standard",
        "inference_geo": "not_available",
    }


def _closing_usage(usage: Usage) -> dict[str, Any]:
    return {
        "input_tokens": usage.input_uncached,
        "cache_creation_input_tokens": usage.cache_write,
        "cache_read_input_tokens": usage.cache_read,
        "output_tokens": usage.output,
        "output_tokens_details": {"thinking_tokens": usage.reasoning},
    }


def _cache_lifetime(material: bytes) -> CacheLifetime | None:
    if b'"cache_control"' not in material:
        return None
    lifetime: Literal["5m", "1h"] = "1h" if re.search(rb'"ttl"\s*:\s*"1h"', material) else "5m"
    return lifetime


def _checked_identity(metadata: _Metadata | None) -> str | None:
    """Anthropic's documented rules for `metadata.user_id`."""
    identity = metadata.user_id if metadata else None
    if identity and len(identity) > IDENTIFIER_LIMIT:
        raise Refusal(400, f"metadata.user_id: String should have at most {IDENTIFIER_LIMIT} characters")
    if identity and _PERSONAL.search(identity):
        raise Refusal(400, "metadata.user_id: user_id appears to contain an email address")
    return identity
