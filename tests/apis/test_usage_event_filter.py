"""Hiding the one usage event that only Byline asked for."""

from __future__ import annotations

import json
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from byline.apis import chat_completions
from byline.apis.chat_completions import UsageEventFilter
from byline.apis.usage_event_filter import MAX_HELD_BYTES

CONVERSATION = Path(__file__).resolve().parents[1] / "conversations" / "chat-usage-event.sse"
USAGE = {"prompt_tokens": 3, "completion_tokens": 4}


def event(**more: Any) -> bytes:
    chunk = {"id": "1", "choices": [{"index": 0, "delta": {"content": "hi"}, "finish_reason": None}]}
    return b"data: " + json.dumps(chunk | more, separators=(",", ":")).encode() + b"\n\n"


HIDDEN = event(choices=[], usage=USAGE)
KEPT = [
    event(),
    event(usage=None),
    event(usage=USAGE),
    event(choices=[], usage=None),
    event(choices=[]),
    event(choices=[], prompt_filter_results=[{"usage": 1}]),
    event(choices=None, usage=USAGE),
    event(choices=[], usage=7),
    event(error={"choices": [], "usage": USAGE}),
    event(choices=[{"delta": {"content": '"choices":[],"usage":{}}'}}]),
    b'data: {"usage":{"prompt_tokens":1},"x":\n\n',
    b'data: {"usage":{"prompt_tokens":1}}\n\n',
    b": keep-alive\n\n",
    b'event: error\ndata: {"error":{"message":"m"}}\n\n',
    b"data: [DONE]\n\n",
    b"\n",
    b"nonsense\n\n",
]
HIDDEN_FORMS = [
    HIDDEN,
    event(usage=USAGE, choices=[]),
    b'data: { "usage" : { "prompt_tokens" : 1 } , "choices" : [ ] }\n\n',
    b'id: 4\ndata:{"choices":[],\ndata: "usage":{}}\n\n',
    b': note\ndata: {"choices":[],"usage":{},"x":"\\"choices\\":[1]"}\n\n',
]


def relay(pieces: list[bytes]) -> bytes:
    sieve = UsageEventFilter()
    return b"".join(sieve.feed(piece) for piece in pieces) + sieve.finish()


def cut(text: bytes, places: list[int]) -> list[bytes]:
    bounds = [0, *sorted({place % (len(text) + 1) for place in places}), len(text)]
    return [text[a:b] for a, b in pairwise(bounds)]


@settings(max_examples=200)
@given(
    st.lists(st.sampled_from(KEPT + HIDDEN_FORMS), max_size=8),
    st.lists(st.integers(0, 2000), max_size=12),
    st.sampled_from([b"\n", b"\r\n", b"\r"]),
)
@example([HIDDEN], [], b"\n")
def test_that_event_alone_is_missing_whatever_the_split(
    events: list[bytes], places: list[int], line_end: bytes
) -> None:
    def with_ends(parts: list[bytes]) -> bytes:
        return b"".join(parts).replace(b"\n", line_end)

    text = with_ends(events)
    expected = with_ends([one for one in events if one not in HIDDEN_FORMS])
    blank = b"\n" in events  # a stray blank line belongs to the event after it, and may go with it
    for pieces in ([text], cut(text, places), [text[n : n + 1] for n in range(len(text))]):
        relayed = relay(pieces)
        assert relayed == expected or (
            blank and relayed.replace(line_end, b"") == expected.replace(line_end, b"")
        )


def test_a_client_sees_the_conversation_without_the_usage_event() -> None:
    body = CONVERSATION.read_bytes()
    events = body.split(b"\n\n")
    assert relay([body]) == b"\n\n".join(events[:4] + events[5:])


@pytest.mark.parametrize("kept", KEPT[:1] + KEPT[2:3] + KEPT[9:10])
def test_an_event_with_choices_goes_on_as_soon_as_they_show(kept: bytes) -> None:
    sieve = UsageEventFilter()
    shown = kept.index(b'"choices":[{') + len(b'"choices":[{')
    relayed = list(accumulate(sieve.feed(kept[n : n + 1]) for n in range(len(kept))))
    assert relayed[shown - 2] == b""
    assert all(relayed[n] == kept[: n + 1] for n in range(shown, len(kept)))


def test_whole_events_go_on_while_a_doubtful_start_waits() -> None:
    sieve = UsageEventFilter()
    assert sieve.feed(event() + HIDDEN[:20]) == event()
    assert sieve.feed(HIDDEN[20:-1]) == b""
    assert sieve.feed(HIDDEN[-1:] + b"data: [DONE]\n\n") == b"data: [DONE]\n\n"


def test_done_does_not_wait_for_its_end() -> None:
    assert UsageEventFilter().feed(b"data: [") == b"data: ["


def test_a_stream_that_breaks_off_gives_up_what_was_held() -> None:
    sieve = UsageEventFilter()
    assert sieve.feed(HIDDEN[:20]) == b""
    assert sieve.finish() == HIDDEN[:20]
    assert sieve.finish() == b""


def test_a_usage_event_without_its_blank_line_is_hidden_still() -> None:
    sieve = UsageEventFilter()
    assert sieve.feed(HIDDEN[:-1]) + sieve.finish() == b""


@pytest.mark.parametrize("size", [7, 1000, 100_000])
def test_no_more_than_64_kib_is_held(size: int) -> None:
    long = b'data: {"x":"' + b"y" * 200_000 + b'","choices":[],"usage":{}}\n\n'
    sieve, given_in, given_out = UsageEventFilter(), 0, 0
    for n in range(0, len(long), size):
        given_in += len(long[n : n + size])
        given_out += len(sieve.feed(long[n : n + size]))
        assert given_in - given_out <= MAX_HELD_BYTES + size
    assert (
        relay([long[n : n + size] for n in range(0, len(long), size)] + [HIDDEN, event()]) == long + event()
    )


def test_a_paced_event_is_passed_on_without_a_copy() -> None:
    one = event(usage=None)
    assert UsageEventFilter().feed(one) is one
    assert UsageEventFilter().feed(memoryview(one)) == one


def test_the_meter_still_reads_what_the_client_does_not_see() -> None:
    meter = chat_completions.meter(streaming=True)
    meter.feed(CONVERSATION.read_bytes())
    assert meter.reading().output_tokens == 300
