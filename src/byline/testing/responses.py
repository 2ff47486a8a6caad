"""OpenAI's responses API, as the provider speaks it."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from byline.testing.chat_completions import check_identifier
from byline.testing.conversation import Prompt, Reply, ToolCall, Turn
from byline.testing.shape import Event, Family, Ids, Json, Refusal, server_sent
from byline.testing.simulation import Simulation
from byline.testing.tokens import Usage, openai_input


class _Part(msgspec.Struct, frozen=True):
    type: str = ""
    text: str = ""


class _Item(msgspec.Struct, frozen=True):
    """Messages, calls and their outputs are items of one list."""

    type: str = "message"
    role: str = ""
    content: str | list[_Part] | None = None

    def turn(self) -> Turn:
        if self.type in ("function_call", "custom_tool_call"):
            return Turn(tool_calls=1)
        if self.role != "user":
            return Turn()
        text = (
            self.content if isinstance(self.content, str) else "\n".join(p.text for p in self.content or ())
        )
        return Turn(user_text=text)


class _Tool(msgspec.Struct, frozen=True):
    type: str = ""
    name: str = ""


class _Reasoning(msgspec.Struct, frozen=True):
    effort: str | None = None


class _Request(msgspec.Struct, frozen=True):
    model: str
    input: msgspec.Raw
    stream: bool | None = None
    instructions: str | None = None
    tools: msgspec.Raw = msgspec.Raw(b"")
    reasoning: _Reasoning | None = None
    max_output_tokens: int | None = None
    user: str | None = None
    safety_identifier: str | None = None


class Responses:
    """`POST /v1/responses`."""

    family: Family = "openai"

    def read(self, body: bytes, seed: int) -> Prompt:
        try:
            request = msgspec.json.decode(body, type=_Request)
            asked = msgspec.json.decode(request.input, type=str | list[_Item])
            tools = msgspec.json.decode(bytes(request.tools) or b"[]", type=list[_Tool])
        except msgspec.DecodeError as error:
            raise Refusal(400, str(error)) from None
        check_identifier("user", request.user)
        material = b"".join(((request.instructions or "").encode(), request.input, request.tools))
        return Prompt(
            model=request.model,
            streaming=bool(request.stream),
            material=material,
            input_usage=openai_input(seed, material),
            turns=[Turn(asked)] if isinstance(asked, str) else [item.turn() for item in asked],
            tools=frozenset(tool.name for tool in tools if tool.type == "function"),
            thinks=bool(request.reasoning and request.reasoning.effort not in (None, "none")),
            max_output_tokens=request.max_output_tokens,
            identity=check_identifier("safety_identifier", request.safety_identifier),
        )

    def whole(self, prompt: Prompt, reply: Reply, ids: Ids, simulation: Simulation) -> Json:
        output = [item for item, _ in _items(reply, ids)]
        return _response(prompt, ids, _status(reply), output, None if simulation.no_usage else reply.usage)

    def events(self, prompt: Prompt, reply: Reply, ids: Ids, simulation: Simulation) -> Iterator[Event]:
        numbers = itertools.count()
        started = _response(prompt, ids, "in_progress", [], None)
        yield _event(numbers, "response.created", response=started)
        yield _event(numbers, "response.in_progress", response=started)
        output: list[Json] = []
        for index, (item, deltas) in enumerate(_items(reply, ids)):
            empty = {**item, "status": "in_progress", **_emptied(item)}
            yield _event(numbers, "response.output_item.added", output_index=index, item=empty)
            for name, fields in deltas:
                yield _event(numbers, name, item_id=item["id"], output_index=index, **fields)
            yield _event(numbers, "response.output_item.done", output_index=index, item=item)
            output.append(item)
        usage = None if simulation.no_usage else reply.usage
        status = _status(reply)
        ended = _response(prompt, ids, status, output, usage)
        yield _event(numbers, f"response.{status}", usage, response=ended)

    def failure(self, ids: Ids, simulation: Simulation) -> Iterator[Event]:
        message = simulation.message or "The server had an error while processing your request."
        code = simulation.error_type or "server_error"
        response: dict[str, Any] = {
            "id": ids.of("resp_"),
            "object": "response",
            "created_at": ids.created_at,
            "status": "failed",
            "error": {"code": code, "message": message},
            "output": [],
            "usage": None,
        }
        numbers = itertools.count(10_000)
        yield _event(numbers, "response.failed", response=response)


def _event(numbers: Iterator[int], name: str, reported: Usage | None = None, /, **fields: object) -> Event:
    data: Json = {"type": name, "sequence_number": next(numbers), **fields}
    return Event(server_sent(data, name), reported)


def _status(reply: Reply) -> str:
    return "incomplete" if reply.finish == "length" else "completed"


def _response(
    prompt: Prompt, ids: Ids, status: str, output: Sequence[Json], usage: Usage | None
) -> dict[str, Any]:
    incomplete = {"reason": "max_output_tokens"} if status == "incomplete" else None
    return {
        "id": ids.of("resp_"),
        "object": "response",
        "created_at": ids.created_at,
        "status": status,
        "background": False,
        "error": None,
        "incomplete_details": incomplete,
        "instructions": None,
        "max_output_tokens": prompt.max_output_tokens,
        "model": prompt.model,
        "output": output,
        "parallel_tool_calls": True,
        "previous_response_id": None,
        "reasoning": {"effort": None, "summary": None},
        "safety_identifier": prompt.identity,
        "service_tier": "default",
        "store": True,
        "temperature": 1.0,
        "text": {"format": {"type": "text"}, "verbosity": "medium"},
        "tool_choice": "auto",
        "tools": [],
        "top_p": 1.0,
        "truncation": "disabled",
        "usage": _usage(usage) if usage else None,
        "user": None,
        "metadata": {},
    }


_Deltas = list[tuple[str, dict[str, Any]]]


def _items(reply: Reply, ids: Ids) -> Iterator[tuple[dict[str, Any], _Deltas]]:
    if reply.thinking:
        yield {"id": ids.of("rs_"), "type": "reasoning", "summary": [], "status": "completed"}, []
    yield _spoken(reply, ids)
    if reply.tool_call:
        yield _called(reply.tool_call, ids)


def _spoken(reply: Reply, ids: Ids) -> tuple[dict[str, Any], _Deltas]:
    part: dict[str, Any] = {"type": "output_text", "annotations": [], "logprobs": [], "text": reply.text}
    here = {"content_index": 0}
    deltas: _Deltas = [("response.content_part.added", here | {"part": part | {"text": ""}})]
    for word in reply.words:
        deltas.append(("response.output_text.delta", here | {"delta": word, "logprobs": []}))
    deltas.append(("response.output_text.done", here | {"text": reply.text, "logprobs": []}))
    deltas.append(("response.content_part.done", here | {"part": part}))
    message: dict[str, Any] = {
        "id": ids.of("msg_"),
        "type": "message",
        "status": "completed",
        "content": [part],
    }
    return message | {"role": "assistant"}, deltas


def _called(call: ToolCall, ids: Ids) -> tuple[dict[str, Any], _Deltas]:
    item = {
        "id": ids.of("fc_"),
        "type": "function_call",
        "status": "completed",
        "arguments": call.arguments,
        "call_id": ids.of("call_"),
        "name": call.name,
    }
    half = len(call.arguments) // 2
    name = "response.function_call_arguments."
    deltas: _Deltas = [
        (name + "delta", {"delta": call.arguments[:half]}),
        (name + "delta", {"delta": call.arguments[half:]}),
        (name + "done", {"arguments": call.arguments, "name": call.name}),
    ]
    return item, deltas


def _emptied(item: Json) -> Json:
    """An item as it is announced, before its content has come."""
    return {"content": []} if "content" in item else {"arguments": ""} if "arguments" in item else {}


def _usage(usage: Usage) -> Json:
    return {
        "input_tokens": usage.input,
        "input_tokens_details": {"cached_tokens": usage.cache_read},
        "output_tokens": usage.output,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning},
        "total_tokens": usage.input + usage.output,
    }
