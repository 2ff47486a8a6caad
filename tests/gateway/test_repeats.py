"""The short way of a request like an earlier one ends where the long way does: same bytes, same row."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.gateway.conftest import Rig, receive_answer, receive_until, request
from tests.gateway.upstream_script import OK, ScriptedUpstream, answer

from byline.gateway.exchange import Exchange
from byline.gateway.repeats import Repeats

BODY = b'{"model":"m","max_tokens":5,"metadata":{"user_id":"me","k":1},"messages":[{"metadata":1}]}'
PATHS = ("/v1/messages", "/v1/chat/completions", "/v1/responses")
OF_THIS_REQUEST = re.compile(
    rb"x-byline-request-id: [0-9a-f-]+|traceparent: [0-9a-f-]+|request-id: [0-9a-f-]{36}"
)
ROW_OF_ITS_OWN = {
    "request_id", "exchange_id", "started_at", "ended_at", "duration_ms", "ttft_ms", "overhead_us", "trace_id",
    "span_id", "entry",
}  # fmt: skip


class Ways:
    """Sends a request the long way or the short one, and tells what came of it."""

    def __init__(self, rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
        self.rig = rig
        self.short = True
        self.repeats = 0
        real = Repeats.open

        def counted(repeats: Repeats, *arguments: Any) -> Exchange | None:
            exchange = real(repeats, *arguments) if self.short else None
            self.repeats += exchange is not None
            return exchange

        monkeypatch.setattr(Repeats, "open", counted)

    def send(self, data: bytes, *, short: bool) -> tuple[bytes, bytes, tuple[bytes, bytes] | None]:
        """The answer's head and body, and what the upstream saw; ids of the request blanked."""
        self.short = short
        before = len(self.rig.upstream.seen)
        with self.rig.connect() as client:
            client.sendall(data)
            head, body = receive_answer(client)
        seen = self.rig.upstream.seen[before:]
        sent = (OF_THIS_REQUEST.sub(b"", seen[0].head), seen[0].body) if seen else None
        return OF_THIS_REQUEST.sub(b"", head), re.sub(rb'"request_id":"[^"]+"', b"", body), sent


@contextmanager
def rig_of(directory: Path, **env: str) -> Generator[Rig]:
    with ScriptedUpstream() as upstream:
        rig = Rig(directory / "data", upstream, env)
        try:
            yield rig
        finally:
            rig.stop()


def without_own(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name not in ROW_OF_ITS_OWN}


VALUES = st.sampled_from([
    "1", "null", "true", "false", '"m"', '"\\u00e9"', '"é"', "{}", "[]", '{"user_id":"me"}', '{"user_id":5,"a":{}}',
    '{"user_id":"x","user_id":"y"}', '{"k":1}', '{"user_id":"{\\"device_id\\":\\"d\\",\\"session_id\\":\\"s\\"}"}',
    '{ "user_id" : "me" }', '{"include_usage":true}', '{"include_usage":null}', "12345678901234567890123", "5", '"',
])  # fmt: skip
NAMES = st.sampled_from([
    "model", "metadata", "user", "safety_identifier", "stream", "stream_options", "max_tokens", "messages", "background",
    "client_metadata", "meta\\u0064ata", "METADATA", "\\u0055ser", "u\u017fer", "other", "é",
])  # fmt: skip
MEMBERS = st.lists(st.tuples(NAMES, VALUES), max_size=6)


@settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(data=st.data())
def test_any_body_takes_the_short_way_as_it_takes_the_long_one(
    shared: tuple[Ways, list[tuple[int, int]]], data: st.DataObject
) -> None:
    ways, pairs = shared
    pairs_of_text = data.draw(MEMBERS)
    comma = data.draw(st.sampled_from([",", ",", ",", ", "]))
    body = ("{" + comma.join(f'"{name}":{value}' for name, value in pairs_of_text) + "}").encode()
    body = body.replace(b'"stream":true', b'"stream":false')  # streams have their own tests
    path = data.draw(st.sampled_from(PATHS))
    trace = data.draw(
        st.sampled_from(["", "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n"])
    )
    asked = request(path, body, key=ways.rig.key, extra=trace)
    long = ways.send(asked, short=False)
    first = ways.send(asked, short=True)
    second = ways.send(asked, short=True)
    assert first == long
    assert second == long
    if long[2] is not None:
        pairs.append((len(ways.rig.upstream.seen) - 3, len(ways.rig.upstream.seen)))


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Generator[tuple[Ways, list[tuple[int, int]]]]:
    monkeypatch = pytest.MonkeyPatch()
    with rig_of(tmp_path_factory.mktemp("repeats")) as rig:
        ways, triples = Ways(rig, monkeypatch), list[tuple[int, int]]()
        yield ways, triples
        monkeypatch.undo()
        assert ways.repeats > 20, "the short way was never taken: nothing was tested"
        rows = [row for row in rig.rows() if row["outcome"] != "rejected"]
        assert len(rows) == len(rig.upstream.seen)
        for first, end in triples:
            (long, *short) = [without_own(row) for row in rows[first:end]]
            assert short == [long, long]


@pytest.fixture
def ways(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> Ways:
    return Ways(rig, monkeypatch)


def test_only_the_second_of_its_kind_is_short_and_the_content_may_differ(ways: Ways) -> None:
    for text, repeats in ((b"one", 0), (b"two", 1), (b"three", 2)):
        body = BODY.replace(b"messages", text)
        sent = ways.send(request(body=body, key=ways.rig.key), short=True)[2]
        assert ways.repeats == repeats
        assert sent is not None
        identifier = json.loads(sent[1])["metadata"]["user_id"]
        assert sent[1] == body.replace(b'"me"', json.dumps(identifier).encode())


@pytest.mark.parametrize("size", [20_000, 200_000, 300_000])
def test_large_bodies_keep_every_byte(ways: Ways, size: int) -> None:
    body = BODY.replace(b'{"metadata":1}', b'"%b"' % (b"x" * size))
    asked = request(body=body, key=ways.rig.key)
    long = ways.send(asked, short=False)
    assert ways.send(asked, short=True) == long
    assert long[2] is not None
    assert len(long[2][1]) > size


def conversation(*last: str, model: str = "m") -> bytes:
    turns = ",".join([*[f'{{"role":"user","content":"{"x" * 20}"}}' for _ in range(60)], *last])
    end = '"metadata":{"user_id":"me"},"max_tokens":5}'
    return f'{{"model":"{model}","messages":[{turns}],{end}'.encode()


def test_a_conversation_that_goes_on_is_sent_as_it_is(ways: Ways) -> None:
    bodies = [conversation(), *[conversation(f'"{"y" * size}"', "2") for size in (1, 500, 5000)]]
    for body in [*bodies, conversation(model="n"), conversation(), conversation('"é"')]:
        asked = request(body=body, key=ways.rig.key)
        long = ways.send(asked, short=False)
        assert ways.send(asked, short=True) == long
        assert long[2] is not None
        identifier = json.loads(long[2][1])["metadata"]["user_id"]
        assert long[2][1] == body.replace(
            b'{"user_id":"me"}', json.dumps({"user_id": identifier}, separators=(",", ":")).encode()
        )
    rows = [without_own(row) for row in ways.rig.rows()]
    assert rows[0::2] == rows[1::2]


@pytest.mark.parametrize(
    "turn",
    ['1],"metadata":{"user_id":"you"},"b":[2', "1,", '"\\ud800"', "nul", "\udcff", '1],"model":"n","b":[2'],
)
def test_a_conversation_can_not_go_on_into_something_else(ways: Ways, turn: str) -> None:
    for body in (conversation(), conversation()):
        ways.send(request(body=body, key=ways.rig.key), short=True)
    assert ways.repeats == 1
    bad = conversation("7777777").replace(b"7777777", turn.encode("utf-8", "surrogateescape"))
    long = ways.send(request(body=bad, key=ways.rig.key), short=False)
    assert long[0].startswith(b"HTTP/1.1 400")
    assert ways.send(request(body=bad, key=ways.rig.key), short=True) == long


@pytest.mark.parametrize(
    "spoil",
    [
        lambda asked: asked.replace(b'"max_tokens":5', b'"max_tokens":5,"model":"m"'),
        lambda asked: asked.replace(b'"max_tokens":5', b'"metadat\\u0061":5'),
        lambda asked: asked.replace(b"messages", b"mess\xffges"),
        lambda asked: asked.replace(b'"m"', b"555"),
    ],
)
def test_what_is_refused_the_long_way_is_refused_after_its_like_was_let_in(
    ways: Ways, spoil: Callable[[bytes], bytes]
) -> None:
    good = request(body=BODY, key=ways.rig.key)
    assert ways.send(good, short=True)[0].startswith(b"HTTP/1.1 200")
    head, _, body = spoil(good).partition(b"\r\n\r\n")
    bad = re.sub(rb"Content-Length: \d+", b"Content-Length: %d" % len(body), head) + b"\r\n\r\n" + body
    long = ways.send(bad, short=False)
    assert long[0].startswith(b"HTTP/1.1 400")
    assert ways.send(bad, short=True) == long
    assert ways.repeats == 0


def test_two_requests_in_one_read_are_both_answered_in_order(ways: Ways) -> None:
    one = request(body=BODY, key=ways.rig.key)
    ways.send(one, short=True)
    with ways.rig.connect() as client:
        client.sendall(one + one.replace(b'"m"', b'"n"'))
        receive_until(client, lambda data: data.count(b"x-byline-request-id") == 2)
    assert [row["model_requested"] for row in ways.rig.rows()] == ["m", "m", "n"]


def test_a_change_of_the_caller_is_seen_by_what_was_remembered_of_the_body(ways: Ways) -> None:
    from byline.control.database import open_control
    from byline.control.jobs import set_job

    for _ in range(2):
        ways.send(request(body=BODY, key=ways.rig.key), short=True)
    assert ways.repeats == 1
    with open_control(ways.rig.data_dir / "control.sqlite3") as control:
        set_job(control, "any", owner="ada")
    threading.Event().wait(0.2)
    ways.send(request(body=BODY, key=ways.rig.key), short=True)
    assert ways.repeats == 1, "the head is read anew"
    ways.send(request(body=BODY, key=ways.rig.key), short=True)
    assert ways.repeats == 2


def test_a_head_over_the_limit_is_refused_though_its_like_was_let_in(
    make_rig: Callable[..., Rig], monkeypatch: pytest.MonkeyPatch
) -> None:
    rig = make_rig(BYLINE_GATEWAY__MAX_HEADER_BYTES="400")
    ways = Ways(rig, monkeypatch)
    extra = "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01{}\r\n"
    assert ways.send(request(body=BODY, key=rig.key, extra=extra.format("")), short=True)[0][9:12] == b"200"
    assert (
        ways.send(request(body=BODY, key=rig.key, extra=extra.format("-" + "x" * 300)), short=True)[0][9:12]
        == b"431"
    )


ANSWERS = [
    b'{"id":"i","model":"x","stop_reason":"end","usage":{"input_tokens":3,"output_tokens":2}}',
    b'{"id":"i","usage":{"input_tokens":3,"cache_creation":{"ephemeral_5m_input_tokens":4},"server_tool_use":null}}',
    b'{"id":5,"usage":{"input_tokens":"3"}}',
    b' {"id":"i","usage":{ "input_tokens": 3 }}',
    b'{"id":"i","usage":{"input_tokens":3,\n"service_tier":"standard","iterations":[{"type":"message","input_tokens":3}]}}',
    b'{"type":"error","error":{"type":"overloaded_error"}}',
    b"event: error\ndata: {}\n\n",
    b"no json",
]


@pytest.mark.parametrize("text", ANSWERS)
@pytest.mark.parametrize("path", PATHS)
def test_an_answer_in_one_read_makes_the_row_that_one_in_pieces_makes(
    ways: Ways, text: bytes, path: str
) -> None:
    whole = answer(text)

    def in_pieces(seen: Any) -> None:
        seen.connection.sendall(OK + b"Content-Length: %d\r\n\r\n" % len(text) + text[:3])
        threading.Event().wait(0.05)
        seen.connection.sendall(text[3:])

    ways.rig.upstream.scripts = [whole, in_pieces]
    asked = request(path, BODY, key=ways.rig.key)
    answers = [ways.send(asked, short=True)[:2] for _ in range(2)]
    assert answers[0] == answers[1]
    first, second = (without_own(row) for row in ways.rig.rows())
    assert first == second


@pytest.mark.parametrize("name", ["Metadata", "m\\u0045tadata", "Max_tokens", "Stream"])
def test_a_name_in_other_letters_is_refused_also_beside_a_body_that_is_known(ways: Ways, name: str) -> None:
    for _ in range(2):
        assert ways.send(request(body=BODY, key=ways.rig.key), short=True)[2] is not None
    assert ways.repeats == 1
    body = BODY.replace(b"messages", name.encode())
    head, _, sent = ways.send(request(body=body, key=ways.rig.key), short=True)
    assert head.startswith(b"HTTP/1.1 400 ")
    assert sent is None
