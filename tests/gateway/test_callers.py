"""What is remembered of a client's head never lets in more than reading it anew would."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import cast

import pytest
from tests.gateway.conftest import Rig, receive_answer, receive_until, request

from byline.gateway.callers import HeadMemory, KnownHead

BODY = b'{"model":"m"}'


def status(rig: Rig, data: bytes) -> bytes:
    with rig.connect() as client:
        client.sendall(data)
        return receive_until(client, b"\r\n\r\n").split(b" ")[1]


@pytest.mark.parametrize(
    "spoil",
    [
        lambda head: head.replace(b"Content-Length: 13", b"Content-Length: 13\r\nContent-Length: 13"),
        lambda head: head.replace(b"Content-Length: 13", b"Content-Length: 13\r\ncontent-length: 13"),
        lambda head: head.replace(b"Content-Length: 13", b"content-length: 13\r\nContent-Length: 13"),
        lambda head: head.replace(b"Content-Length: 13", b"CONTENT-LENGTH: 5\r\nContent-Length: 13"),
        lambda head: head.replace(b"Content-Length: 13", b"Content-Length: +13"),
        lambda head: head.replace(b"Content-Length: 13", b"Content-Length: "),
        lambda head: head.replace(b"Content-Length: 13", b"Content-Length: 13\r\nTransfer-Encoding: chunked"),
        lambda head: head.replace(b"Content-Length: 13", b"Content-Length: \xb2"),
        lambda head: head.replace(b"traceparent: 00", b"traceparent: 00\nTransfer-Encoding: chunked"),
        lambda head: head.replace(b"traceparent: 00", b"traceparent: \r"),
        lambda head: head.replace(b"traceparent: 00", b"traceparent: \x00"),
    ],
)
def test_doubtful_lengths_are_refused_after_a_good_head_was_remembered(
    rig: Rig, spoil: Callable[[bytes], bytes]
) -> None:
    good = request(body=BODY, key=rig.key, extra="traceparent: 00\r\n")
    assert status(rig, good) == status(rig, good) == b"200"
    padded = good.replace(b"Content-Length: 13", b"Content-Length: 13 ")
    assert status(rig, padded) == b"200"
    assert status(rig, spoil(good)) == b"400"


@pytest.mark.parametrize(
    "spelling",
    [
        b"CONTENT-LENGTH: %d",
        b"Content-length: %d",
        b"Content-Length:%d",
        b"Content-Length:\t%d",
        b"content-length:%d",
    ],
)
def test_a_length_however_it_is_spelt_is_the_bodys_each_time(rig: Rig, spelling: bytes) -> None:
    """A request inside a body never becomes one of its own."""
    inner = request(body=b'{"model":"smuggled"}', key=rig.key)
    body = b'{"model":"m","messages":"' + inner.replace(b"\r\n", b"\\r\\n").replace(b'"', b"'") + b'"}'
    asked = request(body=body, key=rig.key).replace(b"Content-Length: %d" % len(body), spelling % len(body))
    assert spelling % len(body) in asked
    with rig.connect() as client:
        for _ in range(4):
            client.sendall(asked)
            assert receive_answer(client)[0].startswith(b"HTTP/1.1 200")
    assert len(rig.upstream.seen) == 4
    assert {b"smuggled'" in seen.body for seen in rig.upstream.seen} == {True}


def test_a_trace_however_it_is_spelt_is_the_requests_each_time(rig: Rig) -> None:
    trace = "Traceparent:00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n"
    for _ in range(3):
        assert status(rig, request(body=BODY, key=rig.key, extra=trace)) == b"200"
    assert [row["trace_id"] for row in rig.rows()] == ["0af7651916cd43dd8448eb211c80319c"] * 3


class Keys:
    """The directory of keys, as a memory of heads asks it."""

    generation = 1

    def __init__(self) -> None:
        self.used: list[tuple[str, int, float]] = []
        self.holds = True

    def use(self, key_id: str, generation: int, at: float) -> bool:
        self.used.append((key_id, generation, at))
        return self.holds

    def expiry(self, key_id: str) -> float | None:
        return None


def test_a_known_head_is_let_in_until_its_key_expires_and_each_use_is_noted() -> None:
    keys, now = Keys(), [99.0]
    memory = HeadMemory(keys, lambda: now[0])
    known = cast("KnownHead", SimpleNamespace(key_id="k", generation=7, expires_at=100.0))
    assert memory.let_in(known) == 99.0
    now[0] = 100.0
    assert memory.let_in(known) is None
    assert keys.used == [("k", 7, 99.0)]
    keys.holds, now[0] = False, 99.5
    assert memory.let_in(known) is None


def test_another_key_in_the_same_place_is_another_caller(rig: Rig) -> None:
    other = rig.new_key("bob")
    threading.Event().wait(0.1)
    for key in (rig.key, other, rig.key):
        assert status(rig, request(body=BODY, key=key)) == b"200"
    assert status(rig, request(body=BODY, key=rig.key[:-4] + "AAAA")) == b"401"
    assert [row["user"] for row in rig.rows()] == ["ada", "bob", "ada"]


def test_two_bodies_of_one_client_keep_their_own_lengths_and_traces(rig: Rig) -> None:
    trace = "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n"
    with rig.connect() as client:
        for body in (BODY, BODY + b" " * 500):
            for extra in (trace, trace.replace("319c", "319d")):
                client.sendall(request(body=body, key=rig.key, extra=extra))
                assert receive_answer(client)[0].startswith(b"HTTP/1.1 200")
    assert {len(seen.body) > 500 for seen in rig.upstream.seen} == {True, False}
    assert [row["trace_id"][-1] for row in rig.rows()] == ["c", "d", "c", "d"]


def test_another_identity_in_the_body_is_another_claim(rig: Rig) -> None:
    with rig.connect() as client:
        for session in ("s1", "s2", "s1"):
            body = (
                b'{"model":"m","metadata":{"user_id":"{\\"device_id\\":\\"d\\",\\"session_id\\":\\"%b\\"}"}}'
                % session.encode()
            )
            client.sendall(request(body=body, key=rig.key))
            receive_answer(client)
    assert [row["session_id"] for row in rig.rows()] == ["s1", "s2", "s1"]


def test_a_change_in_the_control_database_is_noticed_by_remembered_heads(rig: Rig) -> None:
    from byline.control.database import open_control
    from byline.control.keys import list_keys, revoke_key

    assert status(rig, request(body=BODY, key=rig.key)) == b"200"
    with open_control(rig.data_dir / "control.sqlite3") as control:
        revoke_key(control, list_keys(control)[0].key_id)
    threading.Event().wait(0.2)
    assert status(rig, request(body=BODY, key=rig.key)) == b"401"


def test_a_second_key_that_has_expired_is_noticed_though_the_first_is_good(rig: Rig) -> None:
    now = time.time()
    second = rig.new_key("ada", expires_at=now + 1.5)
    threading.Event().wait(0.1)
    both = request(body=BODY, key=rig.key, extra=f"Authorization: Bearer {second}\r\n")
    assert status(rig, both) == b"200"
    threading.Event().wait(max(now + 1.6 - time.time(), 0))
    assert status(rig, both) == b"401"


def test_no_credential_is_kept(rig: Rig) -> None:
    assert status(rig, request(body=BODY, key=rig.key)) == b"200"
    assert rig.worker is not None
    memory: HeadMemory = rig.worker._handler._memory  # type: ignore[attr-defined]
    kept = repr(memory._known)  # pyright: ignore[reportPrivateUsage]
    assert "ada" in kept
    assert rig.key not in kept
    assert rig.key.split("_", 2)[2] not in kept
