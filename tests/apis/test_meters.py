"""What the meters read out of answers, whatever the split of the bytes."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from byline.apis import chat_completions, messages, passthrough, responses
from byline.apis.api import Api, Iteration, Reading
from byline.apis.meter import AnswerMeter

CONVERSATIONS = Path(__file__).resolve().parents[1] / "conversations"
APIS: dict[str, Api] = {"messages": messages, "chat.completions": chat_completions, "responses": responses}


def read(api: Api, pieces: list[bytes], *, streaming: bool = True, finish: bool = True) -> Reading:
    meter = api.meter(streaming=streaming)
    for piece in pieces:
        meter.feed(piece)
    if finish:
        meter.finish()
    return meter.reading()


def random_pieces(body: bytes, seed: int) -> list[bytes]:
    chance = random.Random(seed)
    places = sorted(chance.randrange(len(body)) for _ in range(chance.randrange(1, 40)))
    return [body[a:b] for a, b in zip([0, *places], [*places, len(body)], strict=True)]


def single_bytes(body: bytes) -> list[bytes]:
    return [body[n : n + 1] for n in range(len(body))]


def splits(body: bytes) -> dict[str, list[bytes]]:
    crlf = body.replace(b"\n", b"\r\n")
    cr = body.replace(b"\n", b"\r")
    return {
        "whole": [body],
        "by event": [event + b"\n\n" for event in body.split(b"\n\n")],
        "by line": body.splitlines(keepends=True),
        "single bytes": single_bytes(body),
        "single bytes, CRLF": single_bytes(crlf),
        "CRLF": [crlf],
        "CR": random_pieces(cr, 1),
        **{f"random {seed}": random_pieces(body, seed) for seed in range(5)},
        **{f"random {seed}, CRLF": random_pieces(crlf, seed) for seed in range(5)},
    }


EXPECTED = {
    "messages-thinking-1h-cache": Reading(
        usage_complete=True,
        response_id="msg_cache1",
        model_reported="claude-opus-4-8",
        finish_reason="max_tokens",
        input_uncached_tokens=12,
        cache_read_tokens=31000,
        cache_write_tokens=5200,
        cache_write_5m_tokens=1200,
        cache_write_1h_tokens=4000,
        output_tokens=640,
        reasoning_tokens=600,
        web_search_requests=2,
        service_tier="priority",
        speed="fast",
        inference_geo="us",
    ),
    "messages-overloaded-midway": Reading(
        response_id="msg_cut1",
        model_reported="claude-haiku-4-5",
        error_type="overloaded_error",
        input_uncached_tokens=25,
        cache_read_tokens=1000,
        cache_write_tokens=0,
        output_tokens=1,
    ),
    "messages-spliced-starts": Reading(
        usage_complete=True,
        response_id="msg_first",
        model_reported="claude-sonnet-4-6",
        finish_reason="end_turn",
        input_uncached_tokens=100,
        cache_read_tokens=50,
        output_tokens=30,
    ),
    "messages-fallback": Reading(
        usage_complete=True,
        response_id="msg_fallback",
        model_reported="claude-opus-5",
        finish_reason="end_turn",
        input_uncached_tokens=90,
        output_tokens=40,
        iterations=[
            Iteration("message", "claude-fable-5", 90, 0, None, None, 0, 4, in_totals=False),
            Iteration("fallback_message", "claude-opus-5", 90, 0, None, None, 0, 40, in_totals=True),
        ],
    ),
    "chat-usage-event": Reading(
        usage_complete=True,
        response_id="chatcmpl-u1",
        model_reported="gpt-5.1",
        finish_reason="stop",
        input_uncached_tokens=76,
        cache_read_tokens=1024,
        cache_write_tokens=100,
        output_tokens=300,
        reasoning_tokens=256,
        service_tier="flex",
    ),
    "chat-error-midway": Reading(
        response_id="chatcmpl-e1",
        model_reported="gpt-5.1",
        error_type="server_error",
        input_uncached_tokens=20,
        output_tokens=1,
    ),
    "responses-incomplete": Reading(
        usage_complete=True,
        response_id="resp_inc1",
        model_reported="gpt-5.1-2026-01-01",
        finish_reason="max_output_tokens",
        input_uncached_tokens=300,
        cache_read_tokens=1500,
        cache_write_tokens=200,
        output_tokens=64,
        reasoning_tokens=64,
        service_tier="default",
    ),
    "responses-failed": Reading(
        usage_complete=True,
        response_id="resp_f1",
        model_reported="gpt-5.1",
        finish_reason="failed",
        error_type="server_error",
    ),
    "responses-error-event": Reading(
        response_id="resp_e1", model_reported="gpt-5.1", error_type="rate_limit_exceeded"
    ),
}


@pytest.mark.parametrize("name", EXPECTED)
def test_a_conversation_reads_the_same_in_every_split(name: str) -> None:
    api = next(api for key, api in APIS.items() if name.startswith(key.partition(".")[0]))
    body = (CONVERSATIONS / f"{name}.sse").read_bytes()
    for split, pieces in splits(body).items():
        found = read(api, pieces)
        found.raw_usage = None
        assert found == EXPECTED[name], split


def test_all_conversations_of_this_kind_are_read() -> None:
    kinds = ("messages-", "chat-", "responses-")
    assert {path.stem for path in CONVERSATIONS.glob("*.sse") if path.name.startswith(kinds)} == set(EXPECTED)


def usage_in(reading: Reading) -> dict[str, Any]:
    assert reading.raw_usage is not None
    return json.loads(reading.raw_usage)


def test_the_providers_own_usage_is_kept_with_the_last_value_of_each_field() -> None:
    body = (CONVERSATIONS / "messages-thinking-1h-cache.sse").read_bytes()
    usage = usage_in(read(messages, [body]))
    assert usage["output_tokens"] == 640
    assert usage["cache_read_input_tokens"] == 31000
    assert usage["server_tool_use"] == {"web_search_requests": 2}


def test_totals_take_in_what_was_reported() -> None:
    assert (
        read(messages, [(CONVERSATIONS / "messages-thinking-1h-cache.sse").read_bytes()]).total_input_tokens()
        == 36212
    )
    assert Reading().total_input_tokens() is None


ITERATIONS = b"""{"type":"message","id":"m","model":"claude-sonnet-5","stop_reason":"end_turn","usage":{
"input_tokens":2411,"output_tokens":145,"iterations":[
{"type":"message","input_tokens":1128,"output_tokens":135},
{"type":"advisor_message","model":"claude-opus-4-8","input_tokens":2543,"output_tokens":18,
 "cache_creation":{"ephemeral_5m_input_tokens":5,"ephemeral_1h_input_tokens":6}},
{"type":"compaction","input_tokens":9,"output_tokens":9},
{"type":"message","input_tokens":1283,"output_tokens":10}, 7, null]}}"""


def test_each_iteration_says_whether_the_totals_include_it() -> None:
    iterations = read(messages, [ITERATIONS], streaming=False).iterations or []
    assert [entry.in_totals for entry in iterations] == [True, False, False, True]
    advisor = iterations[1]
    assert (advisor.model, advisor.output_tokens) == ("claude-opus-4-8", 18)
    assert (advisor.cache_write_tokens, advisor.cache_write_5m_tokens, advisor.cache_write_1h_tokens) == (
        11,
        5,
        6,
    )


def test_a_fallback_models_earlier_turns_are_in_the_totals() -> None:
    usage = {
        "input_tokens": 30,
        "output_tokens": 3,
        "iterations": [
            {"type": "message", "model": "declined", "input_tokens": 10, "output_tokens": 9},
            {"type": "message", "model": "serving", "input_tokens": 10, "output_tokens": 1},
            {"type": "fallback_message", "model": "serving", "input_tokens": 20, "output_tokens": 2},
        ],
    }
    found = read(messages, [json.dumps({"usage": usage}).encode()], streaming=False)
    assert [entry.in_totals for entry in found.iterations or []] == [False, True, True]


BLOCKING = {
    "messages": (
        b'{"id":"msg_1","type":"message","model":"claude-haiku-4-5","stop_reason":"end_turn","content":[],'
        b'"usage":{"input_tokens":3,"cache_read_input_tokens":5,"output_tokens":7,"service_tier":"batch"}}',
        (3, 5, 7, "end_turn", "msg_1"),
    ),
    "chat.completions": (
        b'{"id":"c_1","object":"chat.completion","model":"gpt-5.1","choices":[{"finish_reason":"stop"}],'
        b'"usage":{"prompt_tokens":8,"completion_tokens":7,"prompt_tokens_details":{"cached_tokens":5}}}',
        (3, 5, 7, "stop", "c_1"),
    ),
    "responses": (
        b'{"id":"r_1","object":"response","status":"completed","error":null,"model":"gpt-5.1",'
        b'"usage":{"input_tokens":8,"input_tokens_details":{"cached_tokens":5},"output_tokens":7}}',
        (3, 5, 7, "completed", "r_1"),
    ),
}


@pytest.mark.parametrize("name", APIS)
@pytest.mark.parametrize("streaming", [False, True])
def test_a_blocking_answer_is_read_whole(name: str, streaming: bool) -> None:
    body, expected = BLOCKING[name]
    for pieces in ([body], single_bytes(body), [b"\n ", body]):
        found = read(APIS[name], pieces, streaming=streaming)
        assert found.usage_complete
        assert expected == (
            found.input_uncached_tokens,
            found.cache_read_tokens,
            found.output_tokens,
            found.finish_reason,
            found.response_id,
        )


def test_a_stream_that_no_header_announced_is_read_as_one() -> None:
    body = (CONVERSATIONS / "chat-usage-event.sse").read_bytes()
    for pieces in ([body], single_bytes(body), [b": hello\n\n", body]):
        assert read(chat_completions, pieces, streaming=False).output_tokens == 300


@pytest.mark.parametrize("name", APIS)
def test_a_blocking_answer_that_breaks_off_says_nothing(name: str) -> None:
    body, _ = BLOCKING[name]
    assert read(APIS[name], [body[:-1]], streaming=False) == Reading()
    assert read(APIS[name], [body], streaming=False, finish=False) == Reading()


@pytest.mark.parametrize("name", APIS)
@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b'{"type":"error","error":{"type":"rate_limit_error","message":"m"}}', "rate_limit_error"),
        (
            b'{"error":{"message":"m","type":"invalid_request_error","code":"context_length"}}',
            "invalid_request_error",
        ),
        (b'{"error":{"message":"m","code":"server_error"}}', "server_error"),
        (b'{"error":{"message":"m","code":429}}', "429"),
        (b'{"error":"boom"}', "error"),
        (b'{"error":null}', None),
    ],
)
def test_an_error_in_an_answer_is_named(name: str, body: bytes, kind: str | None) -> None:
    assert read(APIS[name], [body], streaming=False).error_type == kind
    assert read(APIS[name], [body], streaming=True).error_type == kind
    if kind:
        assert read(APIS[name], [b"event: error\ndata: " + body + b"\n\n"]).error_type == kind


@pytest.mark.parametrize("name", APIS)
def test_an_error_event_without_json_is_an_error_still(name: str) -> None:
    assert read(APIS[name], [b"event:error\ndata: upstream went away\n\n"]).error_type == "error"


def test_counts_of_a_wrong_type_cost_that_count_alone() -> None:
    usage = b'{"input_tokens":"many","cache_read_input_tokens":-3,"cache_creation_input_tokens":1e400,"output_tokens":7.0}'
    found = read(messages, [b'{"model":7,"usage":' + usage + b"}"], streaming=False)
    assert (found.model_reported, found.input_uncached_tokens, found.cache_read_tokens) == (None, None, None)
    assert (found.cache_write_tokens, found.output_tokens) == (None, 7)


def test_more_cached_tokens_than_prompt_tokens_leave_no_negative_rest() -> None:
    body = b'{"usage":{"prompt_tokens":5,"completion_tokens":1,"prompt_tokens_details":{"cached_tokens":9}}}'
    assert read(chat_completions, [body], streaming=False).input_uncached_tokens == 0


def test_a_chat_stream_without_done_is_complete_at_its_promised_end() -> None:
    event = b'data: {"id":"1","model":"m","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n'
    assert read(chat_completions, [event]).usage_complete
    assert not read(chat_completions, [event], finish=False).usage_complete
    assert not read(chat_completions, [event.replace(b'"stop"', b"null")]).usage_complete
    with_usage = event.replace(b"}]}", b'}],"usage":{"prompt_tokens":1,"completion_tokens":1}}')
    assert read(chat_completions, [with_usage], finish=False).usage_complete


@pytest.mark.parametrize("style", [(",", ":"), (", ", ": "), (" , ", " : ")])
def test_late_chat_usage_is_found_in_every_style_of_json(style: tuple[str, str]) -> None:
    def event(**more: Any) -> bytes:
        chunk = {
            "id": "1",
            "model": "m",
            "choices": [{"index": 0, "delta": {"content": "x"}, "finish_reason": None}],
        }
        return b"data: " + json.dumps(chunk | more, separators=style).encode() + b"\n\n"

    last = {"index": 0, "delta": {}, "finish_reason": "length"}
    usage = {"prompt_tokens": 3, "completion_tokens": 4}
    pieces = [event()] * 20 + [event(choices=[last])] + [event()] + [event(choices=[], usage=usage)]
    found = read(chat_completions, pieces)
    assert (found.finish_reason, found.output_tokens, found.total_input_tokens()) == ("length", 4, 3)


def test_the_last_chat_usage_that_is_not_null_stands() -> None:
    head = b'data: {"id":"1","model":"m","choices":[],"usage":'
    pieces = [
        head + usage + b"}\n\n" for usage in (b'{"completion_tokens":1}', b'{"completion_tokens":2}', b"null")
    ]
    assert read(chat_completions, pieces).output_tokens == 2


@pytest.mark.parametrize("size", [1 << 16, 5_000_000])
def test_a_closing_event_of_five_megabytes_is_read(size: int) -> None:
    body = (CONVERSATIONS / "responses-incomplete.sse").read_bytes()
    closing = body.rindex(b'"output":[]')
    body = body[:closing] + b'"output":["' + b"x" * 5_000_000 + b'"]' + body[closing + 11 :]
    pieces = [body[n : n + size] for n in range(0, len(body), size)]
    assert read(responses, pieces).output_tokens == 64


def test_what_is_over_the_limits_is_counted_and_not_kept() -> None:
    reader = messages.meter(streaming=True)
    assert isinstance(reader, AnswerMeter)
    for _ in range(40):
        reader.feed(b"data: " + b"x" * 1_000_000)
    assert reader.dropped == 1
    small = AnswerMeter(passthrough_reader(), streaming=False, max_body_bytes=10)
    small.feed(b"x" * 8)
    small.feed(b"x" * 8)
    small.feed(b"x" * 8)
    small.finish()
    assert small.dropped == 1


def passthrough_reader() -> Any:
    meter = passthrough.OTHER.meter(streaming=False)
    return meter._reader  # type: ignore[attr-defined]


def test_other_calls_tell_of_their_errors_only() -> None:
    body = b'{"error":{"type":"not_found_error"},"usage":{"input_tokens":3}}'
    found = read(passthrough.MODELS, [body], streaming=False)
    assert found == Reading(error_type="not_found_error", usage_complete=True)
    assert read(passthrough.OTHER, [b"\x00" * 1_000_000], streaming=False) == Reading(usage_complete=True)


junk = st.lists(
    st.one_of(
        st.binary(max_size=40),
        st.sampled_from(
            [
                b"event: message_start\ndata: ",
                b'data: {"type":"message_delta","usage":',
                b'{"type":"message_start","message":{"usage":{"iterations":[{"type":[]}]}}}',
                b'data: {"type":"response.completed","response":{"usage":{"input_tokens":[',
                b'data: {"choices":[{"finish_reason":{}}],"usage":{"prompt_tokens":"x"}}',
                b'data: {"error":[]}',
                b'data: {"response":"\\ud800"}',
                b"event: error\ndata: \xff",
                b"data: [DONE]",
                b"[" * 3000,
                b"\n\n",
                b"\r\n\r\n",
                b"}}",
            ]
        ),
    ),
    max_size=12,
)


@settings(max_examples=200)
@given(junk, st.sampled_from(list(APIS.values())), st.booleans())
def test_no_bytes_make_a_meter_raise(pieces: list[bytes], api: Api, streaming: bool) -> None:
    found = read(api, pieces, streaming=streaming)
    assert isinstance(found, Reading)
