from __future__ import annotations

import errno
import socket

import pytest

from byline.gateway import listener

HOST = "127.0.0.1"


def listening(port: int = 0) -> socket.socket:
    taken = listener.bind(HOST, port)
    taken.listen()
    return taken


def test_port_zero_reserves_a_port_that_workers_then_share() -> None:
    with listener.reserve(HOST, 0) as reserved:
        port = listener.port_of(reserved)
        with listening(port), listening(port), socket.create_connection((HOST, port), timeout=5):
            pass


def test_a_reserved_port_takes_no_connections_by_itself() -> None:
    with listener.reserve(HOST, 0) as reserved:
        port = listener.port_of(reserved)
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((HOST, port), timeout=5)
        with listening(port) as worker:
            worker.settimeout(5)
            for _ in range(20):
                with socket.create_connection((HOST, port), timeout=5):
                    worker.accept()[0].close()


def test_a_port_somebody_listens_on_is_refused_by_name_even_if_it_could_be_shared() -> None:
    with listening() as taken:
        port = listener.port_of(taken)
        with pytest.raises(OSError, match=rf"can't listen on 127\.0\.0\.1:{port}") as refused:
            listener.reserve(HOST, port)
        assert refused.value.errno == errno.EADDRINUSE


def test_a_reserved_port_stays_with_its_gateway() -> None:
    with listener.reserve(HOST, 0) as reserved, socket.socket() as other, pytest.raises(OSError):
        other.bind((HOST, listener.port_of(reserved)))


def test_the_port_of_a_gateway_that_just_ended_can_be_reserved_again() -> None:
    with listening() as server:
        port = listener.port_of(server)
        client = socket.create_connection((HOST, port), timeout=5)
        accepted, _ = server.accept()
        accepted.close()  # the server's side closes first and stays in TIME_WAIT
        client.close()
    listener.reserve(HOST, port).close()


def test_an_address_that_is_not_ours_is_refused_by_name() -> None:
    with pytest.raises(OSError, match=r"can't listen on 192\.0\.2\.1:80"):
        listener.reserve("192.0.2.1", 80)


def test_ipv6_addresses_work() -> None:
    try:
        bound = listener.reserve("::1", 0)
    except OSError:
        pytest.skip("no IPv6 here")
    with bound:
        assert listener.port_of(bound) > 0
