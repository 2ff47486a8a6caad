"""A client's connection: limits, deadlines, and framing nobody should trust."""

from __future__ import annotations

import contextlib
import socket
import ssl
from collections.abc import Callable
from pathlib import Path

import anthropic
import pytest
import trustme
from msgspec import structs
from tests.gateway.conftest import Rig, receive_answer, receive_until, request
from tests.gateway.test_failures import wait_until
from tests.gateway.upstream_script import answer

BODY = b'{"model":"m"}'


def talk(rig: Rig, data: bytes) -> bytes:
    with rig.connect() as client:
        client.sendall(data)
        return receive_until(client, b"never")


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"GET / HTTP/1.1\nHost: g\n\n", 400),
        (b"GET http://g/ HTTP/1.1\r\nHost: g\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: g\r\nA: b\r\n c\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: g\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc", 400),
        (
            b"POST / HTTP/1.1\r\nHost: g\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            400,
        ),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
        (b"\x16\x03\x01\x00\xa5\n", 400),
        (b"GET / HTTP/1.1\r\nHost: g\r\nX: " + b"a" * 70_000, 431),
        (b"GET / HTTP/1.1\r\n\r\n", 400),
    ],
)
def test_doubtful_framing_is_answered_once_and_the_connection_closed(
    rig: Rig, data: bytes, status: int
) -> None:
    got = talk(rig, data)
    assert got.startswith(b"HTTP/1.1 %d " % status)
    assert got.count(b"HTTP/1.1 %d " % status) == 1
    assert b"connection: close" in got
    assert rig.upstream.seen == []


def test_a_bad_chunk_size_never_reaches_the_provider_and_ends_the_connection(rig: Rig) -> None:
    head = request(body=b"", key=rig.key, extra="Transfer-Encoding: chunked\r\n")
    got = talk(rig, head + b"5\r\nabcde\r\nzz\r\nGET /smuggled HTTP/1.1\r\n\r\n")
    assert got.startswith(b"HTTP/1.1 400 ")
    assert got.count(b"HTTP/1.1") == 1
    assert rig.upstream.seen == []
    assert rig.rows()[0]["outcome"] == "rejected"


def test_a_body_over_the_limit_is_refused_before_it_is_read(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig(BYLINE_GATEWAY__MAX_BODY_BYTES="1KB")
    head = request(body=b"", key=rig.key, extra="Content-Length: 5000000\r\n")
    assert talk(rig, head).startswith(b"HTTP/1.1 413 ")


def test_an_unknown_caller_is_refused_before_the_body_is_read(rig: Rig) -> None:
    head = request(body=b"", key="nobody", extra="Content-Length: 5000000\r\n")
    assert talk(rig, head).startswith(b"HTTP/1.1 401 ")


def test_a_small_body_of_a_refused_request_is_passed_over_and_the_connection_kept(rig: Rig) -> None:
    with rig.connect() as client:
        client.sendall(request(body=BODY, key="nobody"))
        assert receive_answer(client)[0].startswith(b"HTTP/1.1 401")
        client.sendall(request(body=BODY, key=rig.key))
        assert receive_answer(client)[0].startswith(b"HTTP/1.1 200")


def test_a_head_that_does_not_come_gets_408(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig(BYLINE_GATEWAY__HEADER_TIMEOUT="200ms")
    assert talk(rig, b"GET / HTTP/1.1\r\nHost:").startswith(b"HTTP/1.1 408 ")


def test_a_body_that_does_not_come_gets_408_and_a_row(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig(BYLINE_GATEWAY__BODY_TIMEOUT="200ms")
    head = request(body=b"", key=rig.key, extra="Content-Length: 50\r\n")
    assert talk(rig, head + b"{").startswith(b"HTTP/1.1 408 ")
    assert rig.rows()[0]["http_status"] == 408


def test_silent_connections_are_closed(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig(BYLINE_GATEWAY__IDLE_TIMEOUT="200ms")
    assert talk(rig, b"") == b""


def test_connections_over_the_cap_are_told_so(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig(BYLINE_GATEWAY__MAX_CONNECTIONS="1")
    with rig.connect() as first:
        first.sendall(b"HEAD / HTTP/1.1\r\nHost: g\r\n\r\n")
        receive_until(first, b"\r\n\r\n")
        with rig.connect() as second:
            assert receive_until(second, b"never").startswith(b"HTTP/1.1 503 ")


def test_the_connection_closes_after_the_answer_when_the_client_asks(rig: Rig) -> None:
    got = talk(rig, request(body=BODY, key=rig.key, extra="Connection: close\r\n"))
    assert got.startswith(b"HTTP/1.1 200 OK")
    assert b"connection: close" in got


def test_an_empty_line_before_a_request_is_passed_over(rig: Rig) -> None:
    with rig.connect() as client:
        client.sendall(b"\r\n" + request(body=BODY, key=rig.key))
        assert receive_answer(client)[0].startswith(b"HTTP/1.1 200")


def test_any_split_of_the_request_is_read_the_same(rig: Rig) -> None:
    data = request(body=BODY, key=rig.key)
    with rig.connect() as client:
        for position in range(len(data)):
            client.sendall(data[position : position + 1])
        assert receive_answer(client)[0].startswith(b"HTTP/1.1 200")


def test_the_gateway_port_speaks_tls(make_rig: Callable[..., Rig], tmp_path: Path) -> None:
    authority = trustme.CA()
    certificate = authority.issue_cert("127.0.0.1", "localhost")
    certificate.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    certificate.private_key_pem.write_to_path(tmp_path / "key.pem")
    rig = make_rig(
        BYLINE_GATEWAY__TLS_CERT=str(tmp_path / "cert.pem"), BYLINE_GATEWAY__TLS_KEY=str(tmp_path / "key.pem")
    )
    context = ssl.create_default_context()
    authority.configure_trust(context)
    with context.wrap_socket(
        socket.create_connection(("127.0.0.1", rig.port)), server_hostname="localhost"
    ) as client:
        client.sendall(request(body=BODY, key=rig.key))
        assert receive_answer(client)[0].startswith(b"HTTP/1.1 200")


def test_failed_tls_handshakes_take_no_place_among_the_connections(
    make_rig: Callable[..., Rig], tmp_path: Path
) -> None:
    pem = tmp_path / "both.pem"
    trustme.CA().issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(pem)
    rig = make_rig(
        BYLINE_GATEWAY__TLS_CERT=str(pem),
        BYLINE_GATEWAY__TLS_KEY=str(pem),
        BYLINE_GATEWAY__MAX_CONNECTIONS="2",
    )
    for _ in range(4):
        with rig.connect() as client:
            client.sendall(b"GET / HTTP/1.1\r\n\r\n")
            receive_until(client, b"never")
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with context.wrap_socket(rig.connect()) as client:
        client.sendall(request(body=BODY, key=rig.key))
        assert receive_answer(client)[0].startswith(b"HTTP/1.1 200")


def test_a_client_that_reads_no_answers_is_not_asked_for_more(rig: Rig) -> None:
    probes = b"GET /healthz HTTP/1.1\r\nHost: g\r\n\r\n" * 2000
    with rig.connect() as client:
        client.settimeout(0.5)
        sent = received = 0
        with contextlib.suppress(TimeoutError):
            while sent < 60_000_000:
                sent += client.send(probes)
        assert sent < 60_000_000
        answered = b""
        with contextlib.suppress(TimeoutError):
            while True:
                answered = answered[-64:] + client.recv(1_000_000)
                received += answered.count(b"HTTP/1.1 200 OK") - answered[:64].count(b"HTTP/1.1 200 OK")
        assert received > 2000
        assert answered.endswith(b'{"status":"ok"}')


def test_a_closing_client_that_reads_nothing_is_cut_off_in_time(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig(BYLINE_GATEWAY__IDLE_TIMEOUT="200ms")
    assert rig.worker is not None
    rig.worker._limits = structs.replace(rig.worker._limits, write_timeout_s=0.3)  # pyright: ignore[reportPrivateUsage]
    rig.upstream.scripts = [answer(b" " * 200_000)]
    for extra in ("", "Connection: close\r\n"):
        with socket.socket() as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.connect(("127.0.0.1", rig.port))
            before = len(rig.upstream.seen)
            # The kernel takes megabytes before any of it has to wait here.
            client.sendall(
                request(body=BODY, key=rig.key) * 30 + request(body=BODY, key=rig.key, extra=extra)
            )
            # Told by what stays: the connection itself may be over before anybody looks.
            wait_until(lambda before=before: len(rig.upstream.seen) > before)
            wait_until(lambda: rig.worker is not None and rig.worker.connections == 0)


def test_requests_pipelined_before_a_half_close_are_all_answered(rig: Rig) -> None:
    with rig.connect() as client:
        client.sendall(request(body=BODY, key=rig.key) * 3)
        client.shutdown(socket.SHUT_WR)
        got = receive_until(client, b"never")
    assert got.count(b"HTTP/1.1 200 OK") == 3
    assert len(rig.rows()) == 3


def test_an_official_client_gets_its_own_error_class_for_a_refusal(rig: Rig) -> None:
    client = anthropic.Anthropic(base_url=f"http://127.0.0.1:{rig.port}", api_key="nobody", max_retries=0)
    with client, pytest.raises(anthropic.AuthenticationError) as caught:
        client.messages.create(
            model="claude-opus-4-7", max_tokens=5, messages=[{"role": "user", "content": "hi"}]
        )
    assert caught.value.request_id
