"""OpenAI's chat completions, as the provider speaks it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from byline.testing.conversation import Prompt, Reply, ToolCall, Turn
from byline.testing.shape import Event, Family, Ids, Json, Refusal, server_sent
from byline.testing.simulation import Simulation
from byline.testing.tokens import Usage, openai_input

IDENTIFIER_LIMIT = 64
_FINISH = {"stop": "stop", "length": "length", "tool": "tool_calls"}


class _Part(msgspec.Struct, frozen=True):
    type: str = ""
    text: str = ""


class _Message(msgspec.Struct, frozen=True):
    role: str
    content: str | list[_Part] | None = None
    tool_calls: list[msgspec.Raw] | None = None

    def turn(self) -> Turn:
        if self.role == "assistant":
            return Turn(tool_calls=len(self.tool_calls or ()))
        text = (
            self.content if isinstance(self.content, str) else "\n".join(p.text for p in self.content or ())
        )
        return Turn(user_text=text if self.role == "user" else "")


class _Function(msgspec.Struct, frozen=True):
    name: str = ""


class _Tool(msgspec.Struct, frozen=True):
    function: _Function = _Function()


class _StreamOptions(msgspec.Struct, frozen=True):
    include_usage: bool | None = None


class _Request(msgspec.Struct, frozen=True):
    model: str
    messages: msgspec.Raw
    stream: bool | None = None
    stream_options: _StreamOptions | None = None
    tools: msgspec.Raw = msgspec.Raw(b"")
    reasoning_effort: str | None = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    user: str | None = None
    safety_identifier: str | None = None


class ChatCompletions:
    """`POST /v1/chat/completions`."""

    family: Family = "openai"

    def read(self, body: bytes, seed: int) -> Prompt:
        try:
            request = msgspec.json.decode(body, type=_Request)
            turns = [message.turn() for message in msgspec.json.decode(request.messages, type=list[_Message])]
            tools = msgspec.json.decode(bytes(request.tools) or b"[]", type=list[_Tool])
        except msgspec.DecodeError as error:
            raise Refusal(400, str(error)) from None
        check_identifier("safety_identifier", request.safety_identifier)
        material = b"".join((request.messages, request.tools))
        return Prompt(
            model=request.model,
            streaming=bool(request.stream),
            material=material,
            input_usage=openai_input(seed, material),
            turns=turns,
            tools=frozenset(tool.function.name for tool in tools),
            thinks=request.reasoning_effort not in (None, "none"),
            wants_usage=bool(request.stream_options and request.stream_options.include_usage),
            max_output_tokens=request.max_completion_tokens or request.max_tokens,
            identity=check_identifier("user", request.user),
        )

    def whole(self, prompt: Prompt, reply: Reply, ids: Ids, simulation: Simulation) -> Json:
        message: dict[str, Any] = {
            "role": "assistant",
            "content": reply.text,
            "refusal": None,
            "annotations": [],
        }
        if reply.tool_call:
            message["tool_calls"] = [_tool_call(reply.tool_call, ids)]
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": _FINISH[reply.finish]}
        usage = {} if simulation.no_usage else {"usage": _usage(reply.usage)}
        return _envelope(prompt, ids, "chat.completion") | {"choices": [choice]} | usage

    def events(self, prompt: Prompt, reply: Reply, ids: Ids, simulation: Simulation) -> Iterator[Event]:
        reports = prompt.wants_usage and not simulation.no_usage
        envelope = _envelope(prompt, ids, "chat.completion.chunk") | ({"usage": None} if reports else {})
        for delta in _deltas(reply, ids):
            yield _chunk(envelope, delta)
        yield _chunk(envelope, {}, _FINISH[reply.finish])
        if reports:
            usage: dict[str, Any] = {"choices": [], "usage": _usage(reply.usage)}
            yield Event(server_sent(envelope | usage), reply.usage)
        yield Event(b"data: [DONE]\n\n")

    def failure(self, ids: Ids, simulation: Simulation) -> Iterator[Event]:
        message = simulation.message or "The server had an error while processing your request."
        kind = simulation.error_type or "server_error"
        error = {"message": message, "type": kind, "param": None, "code": None}
        yield Event(server_sent({"error": error}))


def check_identifier(field: str, value: str | None) -> str | None:
    """OpenAI's observed rule for `user` and documented one for `safety_identifier`."""
    if value is not None and len(value) > IDENTIFIER_LIMIT:
        message = (
            f"Invalid '{field}': string too long. Expected a string with maximum length "
            f"{IDENTIFIER_LIMIT}, but got a string with length {len(value)} instead."
        )
        raise Refusal(400, message, code="string_above_max_length")
    return value


def _envelope(prompt: Prompt, ids: Ids, kind: str) -> dict[str, Any]:
    return {
        "id": ids.of("chatcmpl-"),
        "object": kind,
        "created": ids.created_at,
        "model": prompt.model,
        "service_tier": "default",
        "system_fingerprint": "fp_simulated",
    }


def _deltas(reply: Reply, ids: Ids) -> Iterator[Json]:
    yield {"role": "assistant", "content": "", "refusal": None}
    for word in reply.words:
        yield {"content": word}
    if call := reply.tool_call:
        opening = _tool_call(call, ids)
        opening["function"] = {"name": call.name, "arguments": ""}
        yield {"tool_calls": [{"index": 0, **opening}]}
        half = len(call.arguments) // 2
        for part in (call.arguments[:half], call.arguments[half:]):
            yield {"tool_calls": [{"index": 0, "function": {"arguments": part}}]}


def _chunk(envelope: Json, delta: Json, finish_reason: str | None = None) -> Event:
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
    return Event(server_sent({**envelope, "choices": [choice]}))


def _tool_call(call: ToolCall, ids: Ids) -> dict[str, Any]:
    function = {"name": call.name, "arguments": call.arguments}
    return {"id": ids.of("call_"), "type": "function", "function": function}


def _usage(usage: Usage) -> Json:
    return {
        "prompt_tokens": usage.input,
        "completion_tokens": usage.output,
        "total_tokens": usage.input + usage.output,
        "prompt_tokens_details": {"cached_tokens": usage.cache_read, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": usage.reasoning,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }
