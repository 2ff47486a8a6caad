"""What goes wrong on either side: each has its row, its status, and nothing is lost or sent twice."""

from __future__ import annotations

import json
import logging
import socket
import threading
import time
from collections.abc import Callable

import pytest
from tests.gateway.conftest import Rig, receive_answer, receive_until, request
from tests.gateway.upstream_script import OK, Captured, answer, hang_up

from byline.apis import anthropic_usage, messages
from byline.apis.meter import AnswerMeter
from byline.gateway.recognition import Recognizer

STREAM = OK.replace(b"application/json", b"text/event-stream") + b"Transfer-Encoding: chunked\r\n\r\n"
WAITS = "waiting for 1 request under way, up to 30 s"
LOG = "byline.gateway.dial_warnings"
STREAMING_BODY = b'{"model":"m","stream":true}'


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


def event(kind: str, **members: object) -> bytes:
    return f"event: {kind}\ndata: {json.dumps({'type': kind} | members)}\n\n".encode()


START = event(
    "message_start", message={"id": "msg_9", "model": "m-1", "usage": {"input_tokens": 7, "output_tokens": 1}}
)
DELTA = event("message_delta", delta={"stop_reason": "end_turn"}, usage={"output_tokens": 42})
STOP = event("message_stop")


def ask(rig: Rig, body: bytes = STREAMING_BODY) -> socket.socket:
    client = rig.connect()
    client.sendall(request(body=body, key=rig.key))
    return client


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline, "it never came true"
        threading.Event().wait(0.01)


def test_a_stale_pooled_connection_is_replaced_once_and_both_attempts_have_a_row(rig: Rig) -> None:
    closed = threading.Event()

    def answer_then_close_on_next(seen: Captured) -> None:
        answer()(seen)

    rig.upstream.scripts = [answer_then_close_on_next, hang_up, answer()]
    with rig.connect() as client:
        for _ in range(2):
            client.sendall(request(key=rig.key))
            assert receive_answer(client)[0].startswith(b"HTTP/1.1 200")
    closed.set()
    first, stale, again = rig.rows()
    assert (stale["error_type"], stale["outcome"], stale.get("attempt", 1)) == (
        "stale_connection",
        "upstream_error",
        1,
    )
    assert (again["attempt"], again["outcome"], again["exchange_id"]) == (2, "ok", stale["exchange_id"])
    assert len({first["request_id"], stale["request_id"], again["request_id"]}) == 3
    assert [seen.number for seen in rig.upstream.seen] == [0, 0, 1]


def test_a_connection_that_ended_while_idle_is_not_used(rig: Rig) -> None:
    def answer_and_close(seen: Captured) -> None:
        answer()(seen)
        seen.connection.shutdown(socket.SHUT_WR)

    rig.upstream.scripts = [answer_and_close, answer()]
    with rig.connect() as client:
        for _ in range(2):
            client.sendall(request(key=rig.key))
            receive_answer(client)
    assert [row.get("attempt", 1) for row in rig.rows()] == [1, 1]


def test_a_fresh_connection_that_ends_without_an_answer_is_a_502_and_never_sent_again(rig: Rig) -> None:
    rig.upstream.scripts = [hang_up]
    with ask(rig) as client:
        head, body = receive_answer(client)
    assert head.startswith(b"HTTP/1.1 502 ")
    assert json.loads(body)["error"]["type"] == "api_error"
    assert len(rig.upstream.seen) == 1
    (row,) = rig.rows()
    assert (row["outcome"], row["http_status"], row["error_type"]) == (
        "upstream_error",
        502,
        "upstream_closed",
    )


def test_an_unreachable_provider_is_a_502_with_a_row_and_a_line_in_the_log(
    make_rig: Callable[..., Rig], caplog: pytest.LogCaptureFixture
) -> None:
    with socket.socket() as unlistened:  # kept, so that nobody else gets the port meanwhile
        unlistened.bind(("127.0.0.1", 0))
        port = unlistened.getsockname()[1]
        rig = make_rig(BYLINE_PROVIDERS__ANTHROPIC__BASE_URL=f"http://127.0.0.1:{port}")
        message = f"no connection to 127.0.0.1:{port}: Connection refused"
        for _ in range(3):
            with ask(rig) as client:
                head, body = receive_answer(client)
            assert head.startswith(b"HTTP/1.1 502 ")
            assert json.loads(body)["error"]["message"] == message
        assert [row["error_type"] for row in rig.rows()] == ["connect_error"] * 3
    assert [record.getMessage() for record in caplog.records if record.name == LOG] == [
        f"anthropic can't be reached: {message}"
    ]


def test_a_provider_that_never_answers_is_a_504(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig(BYLINE_UPSTREAM__FIRST_BYTE_TIMEOUT="300ms")
    rig.upstream.scripts = [lambda seen: None]
    with ask(rig) as client:
        head, body = receive_answer(client)
    assert head.startswith(b"HTTP/1.1 504 ")
    assert json.loads(body)["error"]["type"] == "timeout_error"
    assert rig.rows()[0]["error_type"] == "first_byte_timeout"


@pytest.mark.parametrize(
    "garbage",
    [
        b"HTTP/1.1 200 OK\nA: b\n\n",
        b"nonsense\r\n\r\n",
        OK + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\nab",
        OK + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n",
    ],
)
def test_an_answer_with_doubtful_framing_is_a_502_and_its_connection_is_dropped(
    rig: Rig, garbage: bytes
) -> None:
    rig.upstream.scripts = [lambda seen: seen.connection.sendall(garbage), answer()]
    for status in (b"HTTP/1.1 502", b"HTTP/1.1 200"):
        with ask(rig) as client:
            assert receive_answer(client)[0].startswith(status)
    assert [seen.number for seen in rig.upstream.seen] == [0, 1]
    assert rig.rows()[0]["error_type"] == "malformed_answer"


def test_bytes_after_an_answer_keep_its_connection_from_being_used_again(rig: Rig) -> None:
    rig.upstream.scripts = [
        lambda seen: seen.connection.sendall(OK + b"Content-Length: 2\r\n\r\n{}HTTP/1.1 200 OK\r\n"),
        answer(),
    ]
    with rig.connect() as client:
        for _ in range(2):
            client.sendall(request(key=rig.key))
            receive_answer(client)
    assert [seen.number for seen in rig.upstream.seen] == [0, 1]


def test_a_cut_mid_stream_stays_visible_and_keeps_its_partial_usage(rig: Rig) -> None:
    def cut(seen: Captured) -> None:
        seen.connection.sendall(STREAM + chunk(START))
        seen.connection.shutdown(socket.SHUT_RDWR)

    rig.upstream.scripts = [cut]
    with ask(rig) as client:
        data = receive_until(client, b"never")
    assert START in data
    assert not data.endswith(b"0\r\n\r\n")
    (row,) = rig.rows()
    assert (row["outcome"], row["usage_complete"], row["input_tokens"], row["error_type"]) == (
        "upstream_disconnect",
        False,
        7,
        "upstream_closed",
    )


def test_a_stream_that_stalls_is_cut(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig(BYLINE_UPSTREAM__STALL_TIMEOUT="300ms")
    rig.upstream.scripts = [lambda seen: seen.connection.sendall(STREAM + chunk(START))]
    with ask(rig) as client:
        assert START in receive_until(client, b"never")
    assert rig.rows()[0]["error_type"] == "stalled"


def test_an_error_status_travels_as_it_is_and_names_its_type_on_the_row(rig: Rig) -> None:
    body = b'{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}'
    rig.upstream.scripts = [
        answer(body, b"HTTP/1.1 529 Too Busy\r\nretry-after: 9\r\nx-should-retry: true\r\n")
    ]
    with ask(rig) as client:
        head, got = receive_answer(client)
    assert head.startswith(b"HTTP/1.1 529 Too Busy")
    assert b"x-should-retry: true" in head
    assert got == body
    (row,) = rig.rows()
    assert (row["outcome"], row["http_status"], row["error_type"]) == (
        "upstream_error",
        529,
        "overloaded_error",
    )


def test_a_client_that_hangs_up_mid_stream_leaves_a_row_made_complete_by_the_drain(rig: Rig) -> None:
    gone = threading.Event()

    def script(seen: Captured) -> None:
        seen.connection.sendall(STREAM + chunk(START))
        assert gone.wait(10)
        for _ in range(20):
            seen.connection.sendall(chunk(event("ping")))
        seen.connection.sendall(chunk(DELTA) + chunk(STOP) + b"0\r\n\r\n")

    rig.upstream.scripts = [script]
    client = ask(rig)
    receive_until(client, START)
    reset(client)
    wait_until_drained(rig)
    gone.set()
    wait_until(lambda: b"client_disconnect" in journal_of(rig))
    (row,) = rig.rows()
    assert (row["outcome"], row["usage_complete"], row["output_tokens"]) == ("client_disconnect", True, 42)


def test_without_a_drain_a_hang_up_cancels_upstream_and_is_marked_incomplete(
    make_rig: Callable[..., Rig],
) -> None:
    rig = make_rig(BYLINE_UPSTREAM__DRAIN_TIMEOUT="0s")
    cancelled = threading.Event()

    def script(seen: Captured) -> None:
        seen.connection.sendall(STREAM + chunk(START))
        while seen.connection.recv(100):
            pass
        cancelled.set()

    rig.upstream.scripts = [script]
    client = ask(rig)
    receive_until(client, START)
    reset(client)
    wait_until(lambda: b"client_disconnect" in journal_of(rig))
    (row,) = rig.rows()
    assert (row["outcome"], row["usage_complete"], row["input_tokens"]) == ("client_disconnect", False, 7)


@pytest.mark.parametrize(
    "limit", [{"BYLINE_UPSTREAM__DRAIN_TIMEOUT": "300ms"}, {"BYLINE_UPSTREAM__DRAIN_MAX_BYTES": "1KB"}]
)
def test_a_drain_ends_at_its_limits(make_rig: Callable[..., Rig], limit: dict[str, str]) -> None:
    rig = make_rig(**limit)

    def script(seen: Captured) -> None:
        seen.connection.sendall(STREAM + chunk(START))
        try:
            while True:
                seen.connection.sendall(chunk(event("ping") * 20))
                time.sleep(0.01)
        except OSError:
            return

    rig.upstream.scripts = [script]
    client = ask(rig)
    receive_until(client, START)
    reset(client)
    wait_until(lambda: b"client_disconnect" in journal_of(rig))
    assert rig.rows()[0]["usage_complete"] is False


def test_a_client_gone_before_the_answer_began_still_leaves_its_usage(rig: Rig) -> None:
    gone = threading.Event()

    def script(seen: Captured) -> None:
        assert gone.wait(10)
        answer()(seen)

    rig.upstream.scripts = [script]
    client = ask(rig, b'{"model":"m"}')
    wait_until(lambda: bool(rig.upstream.seen))
    reset(client)
    wait_until_drained(rig)
    gone.set()
    wait_until(lambda: b'"end"' in journal_of(rig))
    (row,) = rig.rows()
    assert (row["outcome"], row["usage_complete"], row["output_tokens"]) == ("client_disconnect", True, 2)


def test_a_slow_reader_slows_the_provider_down_instead_of_filling_our_memory(rig: Rig) -> None:
    sent = 0
    done = threading.Event()

    def script(seen: Captured) -> None:
        nonlocal sent
        seen.connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65_536)
        seen.connection.sendall(STREAM)
        piece = event("ping") * 1000
        for _ in range(2000):
            seen.connection.sendall(chunk(piece))
            sent += len(piece)
        seen.connection.sendall(chunk(STOP) + b"0\r\n\r\n")
        done.set()

    rig.upstream.scripts = [script]
    with ask(rig) as client:
        time.sleep(1.0)
        assert not done.is_set()
        assert sent < 20_000_000
        received = 0
        while True:
            piece = client.recv(1_000_000)
            received += len(piece)
            if piece.endswith(b"0\r\n\r\n"):
                break
        assert received > sent > 60_000_000
    assert rig.rows()[0]["outcome"] == "ok"


def test_streams_in_flight_finish_when_the_worker_stops_and_the_log_says_it_waits(
    rig: Rig, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    go_on = threading.Event()

    def script(seen: Captured) -> None:
        seen.connection.sendall(STREAM + chunk(START))
        assert go_on.wait(10)
        seen.connection.sendall(chunk(DELTA) + chunk(STOP) + b"0\r\n\r\n")

    rig.upstream.scripts = [script]
    with ask(rig) as client, rig.connect() as idle:
        idle.sendall(b"GET /healthz HTTP/1.1\r\nHost: gateway\r\n\r\n")
        receive_answer(idle)
        receive_until(client, START)
        stopper = threading.Thread(target=rig.stop)
        stopper.start()
        wait_until(lambda: WAITS in caplog.messages)
        go_on.set()
        assert receive_until(client, b"0\r\n\r\n").endswith(b"0\r\n\r\n")
        assert client.recv(1) == b""
        stopper.join()
    assert rig.rows()[0]["outcome"] == "ok"
    assert caplog.messages.count(WAITS) == 1


def test_nothing_is_waited_for_where_nothing_is_under_way(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    with rig.connect() as client:
        client.sendall(request(key=rig.key))
        receive_answer(client)
        rig.stop()
    assert not [message for message in caplog.messages if message.startswith("waiting")]


def test_streams_that_outlast_the_shutdown_deadline_are_marked(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig(BYLINE_GATEWAY__SHUTDOWN_TIMEOUT="200ms")
    rig.upstream.scripts = [lambda seen: seen.connection.sendall(STREAM + chunk(START))]
    with ask(rig) as client:
        receive_until(client, START)
        (row,) = rig.rows()
    assert (row.get("outcome", "interrupted"), row["error_type"], row["input_tokens"]) == (
        "interrupted",
        "gateway_stopped",
        7,
    )


def test_usage_that_only_byline_asked_for_is_hidden_and_counted(rig: Rig) -> None:
    chunks = [
        b'data: {"id":"c","choices":[{"index":0,"delta":{"content":"hi"},"finish_reason":null}],"usage":null}\n\n',
        b'data: {"id":"c","choices":[{"index":0,"delta":{},"finish_reason":"stop"}],"usage":null}\n\n',
        b'data: {"id":"c","choices":[],"usage":{"prompt_tokens":5,"completion_tokens":6}}\n\n',
        b"data: [DONE]\n\n",
    ]
    rig.upstream.scripts = [
        lambda seen: seen.connection.sendall(STREAM + b"".join(map(chunk, chunks)) + b"0\r\n\r\n")
    ]
    with rig.connect() as client:
        client.sendall(request("/v1/chat/completions", STREAMING_BODY, key=rig.key))
        _, body = receive_answer(client)
    assert body == chunks[0] + chunks[1] + chunks[3]
    assert json.loads(rig.upstream.seen[0].body)["stream_options"] == {"include_usage": True}
    (row,) = rig.rows()
    assert (row["input_tokens"], row["output_tokens"], row["finish_reason"]) == (5, 6, "stop")


def reset(client: socket.socket) -> None:
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    client.close()


def wait_until_drained(rig: Rig) -> None:
    """Until the worker has noticed that its client is gone, and reads the answer on alone."""
    wait_until(lambda: rig.worker is not None and len(rig.worker.drains) == 1)


def refuses(rig: Rig) -> bool:
    """Whether the worker has begun to stop: nobody listens any more."""
    try:
        rig.connect().close()
    except ConnectionError:
        return True
    return False


def journal_of(rig: Rig) -> bytes:
    return b"".join(path.read_bytes() for path in (rig.data_dir / "journal").glob("*.ndjson"))


@pytest.mark.parametrize("finishes", [True, False])
def test_abandoned_answers_are_read_on_while_the_worker_stops(
    make_rig: Callable[..., Rig], finishes: bool
) -> None:
    rig = make_rig(BYLINE_GATEWAY__SHUTDOWN_TIMEOUT="20s" if finishes else "200ms")
    stopping = threading.Event()

    def script(seen: Captured) -> None:
        seen.connection.sendall(STREAM + chunk(START))
        assert stopping.wait(10)
        if finishes:
            seen.connection.sendall(chunk(DELTA) + chunk(STOP) + b"0\r\n\r\n")

    rig.upstream.scripts = [script]
    client = ask(rig)
    receive_until(client, START)
    reset(client)
    wait_until_drained(rig)
    stopper = threading.Thread(target=rig.stop)
    stopper.start()
    wait_until(lambda: refuses(rig))
    stopping.set()
    stopper.join()
    (row,) = rig.rows()
    assert (row["outcome"], row["usage_complete"], row["input_tokens"]) == ("client_disconnect", finishes, 7)


def test_a_flood_of_interim_answers_is_a_502(rig: Rig) -> None:
    rig.upstream.scripts = [lambda seen: seen.connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n" * 5000)]
    with ask(rig) as client:
        assert receive_answer(client)[0].startswith(b"HTTP/1.1 502 ")
    assert rig.rows()[0]["error_type"] == "malformed_answer"


def test_a_few_interim_answers_are_passed_over(rig: Rig) -> None:
    rig.upstream.scripts = [answer(head=b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" * 3 + OK)]
    with ask(rig) as client:
        assert receive_answer(client)[0].startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize(
    ("meter", "broken", "head"),
    [
        (AnswerMeter, "feed", OK + b"Content-Encoding: identity\r\n"),
        (AnswerMeter, "finish", OK + b"Content-Encoding: identity\r\n"),
        (AnswerMeter, "reading", OK + b"Content-Encoding: identity\r\n"),
        (messages, "read_answer", OK),
    ],
)
def test_a_meter_that_fails_costs_neither_the_answer_nor_the_row(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, meter: object, broken: str, head: bytes
) -> None:
    def fail(*_: object) -> None:
        raise ValueError("unforeseen")

    monkeypatch.setattr(meter, broken, fail)
    rig.upstream.scripts = [answer(head=head)]
    with ask(rig) as client:
        assert receive_answer(client)[0].startswith(b"HTTP/1.1 200 ")
    (row,) = rig.rows()
    assert (row["outcome"], row["usage_complete"]) == ("ok", False)


def test_an_answer_that_was_read_in_part_leaves_no_half_read_usage(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise ValueError("unforeseen")

    monkeypatch.setattr(anthropic_usage, "apply_usage", fail)
    rig.upstream.scripts = [answer(b'{"id":"m","usage":{"input_tokens":3,"output_tokens":2}}')]
    with ask(rig, b'{"model":"m"}') as client:
        assert receive_answer(client)[0].startswith(b"HTTP/1.1 200 ")
    (row,) = rig.rows()
    assert (row["usage_complete"], row.get("raw_usage")) == (False, None)


def test_a_usage_that_is_no_utf8_still_has_a_readable_row(rig: Rig) -> None:
    rig.upstream.scripts = [answer(b'{"id":"m","usage":{"input_tokens":3,"output_tokens":2,"x":"\xff"}}')]
    with ask(rig, b'{"model":"m"}') as client:
        assert b"\xff" in receive_answer(client)[1]
    (row,) = rig.rows()
    assert (row["input_tokens"], row["raw_usage"]["x"]) == (3, "\ufffd")


def test_megabytes_in_a_field_that_rows_keep_are_cut_there_alone(rig: Rig) -> None:
    body = b'{"model":"%b","metadata":{"user_id":"%b"}}' % (b"m" * 3_000_000, b"u" * 3_000_000)
    with ask(rig, body) as client:
        receive_answer(client)
    assert b"m" * 3_000_000 in rig.upstream.seen[0].body
    (row,) = rig.rows()
    assert len(json.dumps(row)) < 6000
    assert row["client_metadata_user_id"] == "u" * 1024


def test_what_nobody_foresaw_is_a_500_with_a_row_and_nothing_is_sent(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise LookupError("unforeseen")

    monkeypatch.setattr(Recognizer, "recognize", fail)
    with ask(rig) as client:
        head, body = receive_answer(client)
    assert head.startswith(b"HTTP/1.1 500 ")
    assert b"unforeseen" not in body
    assert rig.upstream.seen == []
    assert [(row["outcome"], row["error_type"]) for row in rig.rows()] == [("rejected", "internal")]
