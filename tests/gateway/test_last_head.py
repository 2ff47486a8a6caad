"""A head like the last one of its connection lets in no more than reading it anew would."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from socket import socket
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.gateway.conftest import Rig, receive_answer, receive_until, request

from byline.control.database import open_control
from byline.control.keys import list_keys, revoke_key
from byline.gateway.callers import KnownHead, Recalled
from byline.gateway.client import ClientConnection
from byline.gateway.exchange import Exchange
from byline.gateway.last_head import LastHead, last_head
from byline.gateway.repeats import Repeats

BODY = b'{"model":"m"}'


def ask(client: socket, data: bytes) -> bytes:
    client.sendall(data)
    return receive_answer(client)[0].split(b" ")[1]


def introduce(client: socket, data: bytes) -> None:
    """Until the connection has a last head: the first is read anew, the second recalled."""
    assert [ask(client, data), ask(client, data), ask(client, data)] == [b"200"] * 3


@pytest.mark.parametrize(
    "spoil",
    [
        lambda head: head.replace(b"Content-Length: 13", b"Content-Length: 13\r\nContent-Length: 13"),
        lambda head: head.replace(b"Content-Length: 13", b"Content-Length: 1\n"),
        lambda head: head.replace(b"Content-Length: 13", b"Content-Length: +3"),
        lambda head: head.replace(b"Content-Length: 13", b"Content-Length: \xb2\xb2"),
        lambda head: head.replace(b"Content-Length: 13", b"Content-Length: 13\r\nTransfer-Encoding: chunked"),
        lambda head: head.replace(b"Host: ", b"Host : "),
    ],
)
def test_doubtful_heads_are_refused_behind_a_good_one(rig: Rig, spoil: Callable[[bytes], bytes]) -> None:
    good = request(body=BODY, key=rig.key)
    with rig.connect() as client:
        introduce(client, good)
        client.sendall(spoil(good))
        assert receive_until(client, b"\r\n\r\n").split(b" ")[1] == b"400"


def test_another_key_behind_a_good_one_is_another_caller_or_none(rig: Rig) -> None:
    other = rig.new_key("bob")
    threading.Event().wait(0.1)
    with rig.connect() as client:
        introduce(client, request(body=BODY, key=rig.key))
        introduce(client, request(body=BODY, key=other))
        introduce(client, request(body=BODY, key=rig.key))
        wrong = rig.key[:-1] + ("A" if rig.key[-1] != "A" else "B")
        assert ask(client, request(body=BODY, key=wrong)) == b"401"
    assert [row["user"] for row in rig.rows()] == ["ada"] * 3 + ["bob"] * 3 + ["ada"] * 3


def test_lengths_of_more_or_fewer_digits_are_read_as_they_stand(rig: Rig) -> None:
    with rig.connect() as client:
        for body in (BODY, BODY, b'{"model":"mmm"}', b"{}" + b" " * 7, BODY + b" " * 500, BODY):
            assert ask(client, request(body=body, key=rig.key)) == b"200"
    assert [len(seen.body) > 500 for seen in rig.upstream.seen] == [False] * 4 + [True, False]


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Whether each request took the short way."""
    seen: list[bool] = []
    real = Repeats.open

    def noted(repeats: Repeats, *arguments: Any) -> Exchange | None:
        exchange = real(repeats, *arguments)
        seen.append(exchange is not None)
        return exchange

    monkeypatch.setattr(Repeats, "open", noted)
    return seen


def test_a_key_that_expires_expires_for_the_connection_as_well(rig: Rig, taken: list[bool]) -> None:
    expires_at = time.time() + 1.5
    asked = request(body=BODY, key=rig.new_key("ada", expires_at=expires_at))
    threading.Event().wait(0.2)
    with rig.connect() as client:
        introduce(client, asked)
        assert taken[-1]
        threading.Event().wait(max(expires_at + 0.01 - time.time(), 0))
        assert ask(client, asked) == b"401"


def test_a_key_that_is_revoked_is_revoked_for_the_connection_as_well(rig: Rig, taken: list[bool]) -> None:
    with rig.connect() as client:
        introduce(client, request(body=BODY, key=rig.key))
        assert taken[-1]
        with open_control(rig.data_dir / "control.sqlite3") as control:
            revoke_key(control, list_keys(control)[0].key_id)
        threading.Event().wait(0.2)
        assert ask(client, request(body=BODY, key=rig.key)) == b"401"


def test_after_a_change_that_concerns_others_the_short_way_is_taken_again(
    rig: Rig, taken: list[bool]
) -> None:
    with rig.connect() as client:
        introduce(client, request(body=BODY, key=rig.key))
        rig.new_key("bob")
        threading.Event().wait(0.2)
        introduce(client, request(body=BODY, key=rig.key))
    assert taken == [False, True, True, False, True, True]


def test_no_credential_is_kept_with_the_connection(rig: Rig) -> None:
    with rig.connect() as client:
        introduce(client, request(body=BODY, key=rig.key))
        assert rig.worker is not None
        connections: set[ClientConnection] = rig.worker._clients  # type: ignore[attr-defined]
        kept = [repr(connection.last_head) for connection in connections]
    assert "LastHead" in kept[0]
    assert rig.key.split("_", 2)[2] not in kept[0]


HEAD = b"POST /v1/messages HTTP/1.1\r\nHost: a\r\nx-api-key: k\r\n%b: %b\r\nUser-Agent: u\r\n\r\n"


def of(data: bytes, traceparent: bytes | None = None) -> LastHead | None:
    end = data.index(b"\r\n\r\n")
    recalled = Recalled(cast("KnownHead", None), 13, end + 4, traceparent, 1.0)
    return last_head(data, end, recalled)


@given(at=st.integers(0, len(HEAD) + 10), byte=st.integers(0, 255))
def test_no_byte_but_the_lengths_digits_may_differ(at: int, byte: int) -> None:
    data = HEAD % (b"Content-Length", b"13") + BODY
    last = of(data)
    assert last is not None
    other = data[:at] + bytes([byte]) + data[at + 1 :]
    if at >= data.index(b"\r\n\r\n") + 4 or other == data:
        assert last.length_in(other) == 13
    elif other[at : at + 1].isdigit() and data[:at].endswith((b"Length: ", b"Length: 1")):
        assert last.length_in(other) == int(other[last.length_at : last.length_end])
    else:
        assert last.length_in(other) is None


@pytest.mark.parametrize("cut", range(0, 110, 7))
def test_a_head_that_has_not_come_whole_is_not_like_it(cut: int) -> None:
    data = HEAD % (b"content-length", b"13")
    last = of(data)
    assert last is not None
    assert last.length_in(data) == 13
    assert last.length_in(data[: min(cut, len(data) - 1)]) is None


def test_heads_without_a_usual_length_or_with_a_trace_are_not_kept() -> None:
    assert of(HEAD % (b"CONTENT-LENGTH", b"13")) is None
    assert of(HEAD % (b"Content-Length", b"13"), b"00-a-b-01") is None
