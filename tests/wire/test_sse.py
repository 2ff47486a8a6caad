"""Framing of event streams that arrive in arbitrary pieces."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from byline.wire.sse import SseFramer, parse_event, with_lf

lines = st.sampled_from([b"event: a", b"data: {}", b"data:1", b": comment", b"data", b"id: 7", b"data: x  "])
line_ends = st.sampled_from([b"\n", b"\r\n", b"\r"])


@st.composite
def streams(draw: st.DrawFn) -> tuple[bytes, list[bytes]]:
    """A stream in one style of line ends, with its events as they are to come out."""
    end = draw(line_ends)
    events = draw(st.lists(st.lists(lines, min_size=1, max_size=4), max_size=5))
    text = b"".join(b"".join(line + end for line in event) + end for event in events)
    return text, [b"\n".join(event) for event in events]


def cut(text: bytes, at: list[int]) -> list[bytes]:
    places = [0, *sorted({place % (len(text) + 1) for place in at}), len(text)]
    return [text[start:stop] for start, stop in itertools.pairwise(places)]


def events_of(pieces: list[bytes], framer: SseFramer | None = None) -> list[bytes]:
    framer = framer or SseFramer()
    whole = b"".join(with_lf(framer.feed(piece)) for piece in pieces) + framer.finish()
    return [event for event in whole.split(b"\n\n") if event.strip(b"\n")]


@given(streams(), st.lists(st.integers(0, 400)))
def test_the_same_events_come_out_of_every_split(stream: tuple[bytes, list[bytes]], at: list[int]) -> None:
    text, expected = stream
    assert events_of(cut(text, at)) == expected
    assert events_of([text[n : n + 1] for n in range(len(text))]) == expected


def test_an_event_comes_out_with_the_byte_that_ends_it() -> None:
    framer = SseFramer()
    assert framer.feed(b"data: 1\n") == b""
    assert framer.feed(b"\n") == b"data: 1\n\n"
    assert framer.feed(b"data: 2\r\n\r") == b"data: 2\n\n"
    assert framer.feed(b"\ndata: 3\n\n") == b"data: 3\n\n"


def test_a_paced_event_is_handed_on_without_a_copy() -> None:
    event = b"data: {}\n\n"
    assert SseFramer().feed(event) is event


def test_an_event_without_its_blank_line_comes_out_at_the_end() -> None:
    framer = SseFramer()
    assert framer.feed(b"data: 1\n\ndata: 2") == b"data: 1\n\n"
    assert framer.finish() == b"data: 2\n\n"
    assert framer.finish() == b""


@pytest.mark.parametrize("size", [1, 3, 64, 10_000])
def test_an_event_over_the_limit_is_dropped_and_counted_and_the_next_one_read(size: int) -> None:
    framer = SseFramer(limit=100)
    text = b"data: 1\n\ndata: " + b"x" * 5000 + b"\n\ndata: 2\n\n: c\n\n"
    pieces = [text[n : n + size] for n in range(0, len(text), size)]
    events = events_of(pieces, framer)
    if size < 5000:
        assert events == [b"data: 1", b"data: 2", b": c"]
        assert framer.dropped == 1
    else:
        assert len(events) == 4, "an event that came in one read needs no memory"


def test_a_dropped_event_at_the_end_is_not_handed_out_in_part() -> None:
    framer = SseFramer(limit=100)
    assert events_of([b"data: " + b"x" * 90, b"x" * 90, b"x" * 90], framer) == []


@pytest.mark.parametrize(
    ("event", "name", "data"),
    [
        (b"event: a\ndata: 1\n\n", b"a", b"1"),
        (b"data:1\nevent:a", b"a", b"1"),
        (b"data: 1\ndata: 2", b"", b"1\n2"),
        (b"data:  1  ", b"", b" 1  "),
        (b": data: 1\nid: 3", b"", b""),
        (b"event: a\nevent: b\ndata", b"b", b""),
    ],
)
def test_an_event_is_read_as_the_standard_says(event: bytes, name: bytes, data: bytes) -> None:
    assert parse_event(event) == (name, data)
