from __future__ import annotations

import json
from collections.abc import Callable

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from byline.usage.journal.entries import END, EVENT, START, End, Event, Start, Unreadable, decode, encode
from byline.usage.record import UsageRecord

Make = Callable[..., UsageRecord]


def line_of(prefix: bytes, columns: object) -> bytes:
    buffer = bytearray()
    encode(buffer, prefix, columns)  # type: ignore[arg-type]
    return bytes(buffer)


def test_a_row_comes_back_as_it_was_written(ended: Make) -> None:
    row = ended("r1", raw_usage=msgspec.Raw(b'{"output_tokens":7}'), user='Ådä \u2028 "x"\n')
    line = line_of(END, row)
    assert line.endswith(b"\n")
    assert decode(line[:-1]) == End(row)


def test_a_line_is_plain_json_with_the_kind_beside_the_columns(make_record: Make) -> None:
    fields = json.loads(line_of(START, make_record("r1")))
    assert fields["entry"] == "start"
    assert fields["request_id"] == "r1"
    assert "output_tokens" not in fields


def test_a_start_is_known_by_its_id_and_kept_as_it_stands(make_record: Make) -> None:
    line = line_of(START, make_record("r1"))[:-1]
    assert decode(line) == Start("r1", line)


def test_an_event_comes_back_without_the_kind() -> None:
    columns = {"event_id": "e1", "event_name": "started", "metadata": {"n": 1}}
    assert decode(line_of(EVENT, columns)[:-1]) == Event(columns)


def test_an_indented_provider_usage_stays_on_one_line(ended: Make) -> None:
    indented = msgspec.Raw(b'{\r\n  "output_tokens": 7,\n  "note": "a\\nb"\n}')
    line = line_of(END, ended("r1", raw_usage=indented))
    assert line.count(b"\n") == 1
    entry = decode(line[:-1])
    assert isinstance(entry, End)
    assert json.loads(bytes(entry.record.raw_usage)) == {"output_tokens": 7, "note": "a\nb"}


def test_bytes_that_are_no_text_are_escaped_rather_than_losing_the_row(ended: Make) -> None:
    entry = decode(line_of(END, ended("r1", client="agent-\udcff"))[:-1])
    assert isinstance(entry, End)
    assert entry.record.client == "agent-\\udcff"
    assert entry.record.output_tokens == 7


def test_what_cannot_be_encoded_leaves_the_buffer_untouched(make_record: Make) -> None:
    buffer = bytearray(b"before\n")
    with pytest.raises(TypeError):
        encode(buffer, START, make_record("r1", job=object()))
    assert buffer == b"before\n"


@pytest.mark.parametrize(
    "line",
    [
        b'{"entry":"end","request_id":"r1"',
        b'{"entry":"end","request_id":"r1"}',
        b'{"entry":"start"}',
        b'{"entry":"later"}',
        b"{}",
        b"[]",
        b"\0\0\0",
        b'{"entry":"end","request_id":"\xff"}',
    ],
)
def test_a_line_that_means_nothing_is_said_to_be_unreadable(line: bytes) -> None:
    entry = decode(line)
    assert isinstance(entry, Unreadable)
    assert entry.line == line
    assert entry.reason


@given(st.binary(max_size=60))
def test_decoding_never_raises(line: bytes) -> None:
    assert decode(line) is not None


def test_another_writers_spacing_and_order_are_read_too(ended: Make) -> None:
    fields = {**json.loads(msgspec.json.encode(ended("r1"))), "entry": "end"}
    assert decode(json.dumps(fields).encode()) == End(ended("r1"))
