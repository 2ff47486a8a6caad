"""Bodies on their way in: how much of them a worker holds at once, and how slowly they may come."""

from __future__ import annotations

import socket
from collections.abc import Callable

import msgspec
import pytest
from tests.gateway.conftest import Rig, receive_answer, receive_until, request
from tests.gateway.test_failures import wait_until

from byline.gateway.http1.errors import ProtocolError
from byline.gateway.http1.request_head import RequestHead, RequestHeadReader
from byline.gateway.uploads import REFUSED, UploadLimits, Uploads

LIMITS = {"BYLINE_GATEWAY__MAX_BODY_BYTES": "100000", "BYLINE_GATEWAY__MAX_BUFFERED_BYTES": "150000"}
SIZED = "Content-Length: 100000\r\n"
CHUNKED = "Transfer-Encoding: chunked\r\n"


def begin_upload(rig: Rig, framing: str, part: bytes, path: str = "/v1/messages") -> socket.socket:
    client = rig.connect()
    client.sendall(request(path, b"", key=rig.key, extra=framing) + part)
    return client


def held_bytes(rig: Rig) -> int:
    assert rig.worker is not None
    return rig.worker.uploads.held_bytes


def whole_body(size: int = 100_000) -> bytes:
    start = b'{"model":"m","x":"'
    return start + b"x" * (size - len(start) - 2) + b'"}'


@pytest.mark.parametrize("framing", [SIZED, CHUNKED])
def test_a_body_beyond_what_all_may_hold_together_gets_503_and_the_others_go_on(
    make_rig: Callable[..., Rig], framing: str
) -> None:
    rig = make_rig(**LIMITS)
    body = whole_body()
    first = begin_upload(rig, SIZED, body[:99_000])
    wait_until(lambda: held_bytes(rig) == 99_000)
    part = b"x" * 60_000 if framing == SIZED else b"186A0\r\n" + b"x" * 60_000
    with begin_upload(rig, framing, part) as second:
        head, refusal = receive_answer(second)
    assert head.startswith(b"HTTP/1.1 503 ")
    assert b"retry-after: 1" in head
    assert msgspec.json.decode(refusal)["error"]["type"] == "overloaded_error"
    with first:
        first.sendall(body[99_000:])
        assert receive_answer(first)[0].startswith(b"HTTP/1.1 200 ")
    assert held_bytes(rig) == 0
    assert rig.budgets is not None
    assert rig.budgets.tally[REFUSED] == 1
    assert [(row["http_status"], row.get("error_type")) for row in rig.rows()] == [
        (503, "overloaded"),
        (200, None),
    ]


def test_the_refusal_has_the_shape_of_the_provider_that_was_asked(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig(**LIMITS)
    with begin_upload(rig, SIZED, whole_body()[:99_000]):
        wait_until(lambda: held_bytes(rig) == 99_000)
        with begin_upload(rig, SIZED, b"x" * 60_000, "/v1/chat/completions") as second:
            head, refusal = receive_answer(second)
    assert head.startswith(b"HTTP/1.1 503 ")
    assert set(msgspec.json.decode(refusal)["error"]) == {"message", "type", "param", "code"}


def test_what_is_whole_at_once_needs_no_room(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig(**LIMITS)
    with begin_upload(rig, SIZED, whole_body()[:99_000]), begin_upload(rig, SIZED, whole_body()[:50_000]):
        wait_until(lambda: held_bytes(rig) == 149_000)
        with rig.connect() as client:
            client.sendall(request(key=rig.key))
            assert receive_answer(client)[0].startswith(b"HTTP/1.1 200 ")


def test_a_client_that_leaves_or_breaks_its_framing_gives_its_room_back(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig(**LIMITS)
    with begin_upload(rig, SIZED, b"x" * 99_000):
        wait_until(lambda: held_bytes(rig) == 99_000)
    wait_until(lambda: held_bytes(rig) == 0)
    with begin_upload(rig, CHUNKED, b"186A0\r\n" + b"x" * 99_000) as client:
        wait_until(lambda: held_bytes(rig) > 0)
        client.sendall(b"x" * 1000 + b"no line end")
        assert receive_answer(client)[0].startswith(b"HTTP/1.1 400 ")
        assert held_bytes(rig) == 0


def test_a_body_that_does_not_come_in_time_gives_its_room_back(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig(BYLINE_GATEWAY__BODY_TIMEOUT="200ms")
    with begin_upload(rig, SIZED, b"x" * 500) as client:
        assert receive_answer(client)[0].startswith(b"HTTP/1.1 408 ")
    assert held_bytes(rig) == 0


@pytest.mark.parametrize("key", ["ours", "nobody's"])
def test_a_body_that_trickles_in_does_not_hold_its_connection_for_ever(
    make_rig: Callable[..., Rig], key: str
) -> None:
    rig = make_rig(BYLINE_GATEWAY__BODY_TIMEOUT="300ms")
    with rig.connect() as client:
        client.sendall(request(body=b"", key=rig.key if key == "ours" else key, extra=SIZED) + b"{")
        if key != "ours":
            assert receive_answer(client)[0].startswith(b"HTTP/1.1 401 ")
        assert answer_to_a_trickle(client).startswith(b"HTTP/1.1 408 ")


def answer_to_a_trickle(client: socket.socket) -> bytes:
    """A byte each 20 ms: never a pause that is too long. Nothing after eight seconds."""
    client.settimeout(0.02)
    for _ in range(400):
        try:
            return receive_until(client, b"\r\n\r\n")
        except TimeoutError:
            client.sendall(b"x")
    return b""


def head_of(size: int) -> RequestHead:
    return RequestHeadReader().read(b"POST / HTTP/1.1\r\nHost: g\r\nContent-Length: %d" % size)


def test_an_honest_upload_may_take_as_long_as_its_size_needs() -> None:
    size = 64 * 1024 * 1024
    uploads = Uploads(UploadLimits(pause_s=60, min_bytes_per_s=4096), {})
    upload, now = uploads.receive(head_of(size), 0.0), 0.0
    part = b"x" * (256 * 1024)
    while not upload.done:
        now += len(part) / 5000  # a slow line, but no trickle
        assert now <= upload.deadline(now)
        assert upload.take(part) == b""
    assert now > 3 * 3600
    assert len(upload.whole()) == size


def test_time_is_granted_for_what_has_come_and_never_more_than_one_pause_ahead() -> None:
    upload = Uploads(UploadLimits(pause_s=60, min_bytes_per_s=100), {}).receive(head_of(10_000), 1000.0)
    assert upload.deadline(1000.0) == 1060.0
    assert upload.deadline(1059.0) == 1060.0
    upload.take(b"x" * 1000)
    assert upload.deadline(1059.0) == 1070.0
    upload.take(b"x" * 8000)
    assert upload.deadline(1059.0) == 1119.0


def test_without_a_rate_only_pauses_count() -> None:
    upload = Uploads(UploadLimits(pause_s=60, min_bytes_per_s=0), {}).receive(head_of(10_000), 0.0)
    assert upload.deadline(1e6) == 1e6 + 60


def test_a_body_that_was_refused_takes_no_room() -> None:
    uploads = Uploads(UploadLimits(max_buffered_bytes=10), {})
    upload = uploads.pass_over(1000, 0.0)
    upload.take(b"x" * 999)
    assert uploads.held_bytes == 0
    with pytest.raises(ProtocolError):
        uploads.receive(head_of(1000), 0.0).take(b"x" * 999)
