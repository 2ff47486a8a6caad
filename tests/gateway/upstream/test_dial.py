"""Reaching a provider: certificates verified, proxies used, failures named."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
import trustme
from tests.gateway.conftest import Rig, receive_answer, request
from tests.gateway.upstream_script import ScriptedUpstream

from byline.gateway.upstream.dial import named
from byline.gateway.upstream.origin import choose_proxy, parse_base_url

BODY = b'{"model":"m"}'


class Relay:
    """Accepts connections and copies bytes between them and where `target` says, after `greet`."""

    def __init__(self, greet: Callable[[socket.socket], socket.socket | None]) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._greet = greet
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client:
            server = self._greet(client)
            if server is not None:
                exchange_bytes(client, server)

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


def exchange_bytes(client: socket.socket, server: socket.socket) -> None:
    with server:
        back = threading.Thread(target=copy, args=(server, client))
        back.start()
        copy(client, server)
        back.join()


def copy(source: socket.socket, target: socket.socket) -> None:
    try:
        while data := source.recv(65_536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        return


def tls_front(upstream: ScriptedUpstream, authority: trustme.CA, name: str = "localhost") -> Relay:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name).configure_cert(context)
    port = int(upstream.url.rpartition(":")[2])
    return Relay(lambda client: _unwrap(context, client, port))


def _unwrap(context: ssl.SSLContext, client: socket.socket, port: int) -> None:
    try:
        secure = context.wrap_socket(client, server_side=True)
    except ssl.SSLError:
        return
    with secure:
        exchange_bytes(secure, socket.create_connection(("127.0.0.1", port)))


def test_a_certificate_of_an_authority_we_were_given_is_trusted(
    make_rig: Callable[..., Rig], upstream: ScriptedUpstream, tmp_path: Path
) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    front = tls_front(upstream, authority)
    rig = make_rig(
        BYLINE_PROVIDERS__ANTHROPIC__BASE_URL=f"https://localhost:{front.port}",
        BYLINE_UPSTREAM__CA_FILE=str(tmp_path / "ca.pem"),
    )
    with rig.connect() as client:
        for _ in range(2):
            client.sendall(request(body=BODY, key=rig.key))
            assert receive_answer(client)[0].startswith(b"HTTP/1.1 200")
    assert {seen.number for seen in upstream.seen} == {0}
    front.close()


@pytest.mark.parametrize("name", ["localhost", "elsewhere.example"])
def test_certificates_that_do_not_verify_are_refused(
    make_rig: Callable[..., Rig], upstream: ScriptedUpstream, tmp_path: Path, name: str
) -> None:
    authority, other = trustme.CA(), trustme.CA()
    trusted = authority if name != "localhost" else other
    trusted.cert_pem.write_to_path(tmp_path / "ca.pem")
    front = tls_front(upstream, authority, name)
    rig = make_rig(
        BYLINE_PROVIDERS__ANTHROPIC__BASE_URL=f"https://localhost:{front.port}",
        BYLINE_UPSTREAM__CA_FILE=str(tmp_path / "ca.pem"),
    )
    with rig.connect() as client:
        client.sendall(request(body=BODY, key=rig.key))
        assert receive_answer(client)[0].startswith(b"HTTP/1.1 502 ")
    assert upstream.seen == []
    assert rig.rows()[0]["error_type"] == "tls_error"
    front.close()


def test_https_goes_through_the_proxys_tunnel(
    make_rig: Callable[..., Rig], upstream: ScriptedUpstream, tmp_path: Path
) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    front = tls_front(upstream, authority)
    asked: list[bytes] = []

    def connect(client: socket.socket) -> socket.socket:
        asked.append(client.recv(4096))
        client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
        return socket.create_connection(("127.0.0.1", front.port))

    proxy = Relay(connect)
    rig = make_rig(
        BYLINE_PROVIDERS__ANTHROPIC__BASE_URL=f"https://localhost:{front.port}",
        BYLINE_UPSTREAM__CA_FILE=str(tmp_path / "ca.pem"),
        HTTPS_PROXY=f"http://me:secret@127.0.0.1:{proxy.port}",
    )
    with rig.connect() as client:
        client.sendall(request(body=BODY, key=rig.key))
        assert receive_answer(client)[0].startswith(b"HTTP/1.1 200")
    assert asked[0].startswith(f"CONNECT localhost:{front.port} HTTP/1.1\r\n".encode())
    assert b"Proxy-Authorization: Basic bWU6c2VjcmV0" in asked[0]
    proxy.close()
    front.close()


def test_a_proxy_that_refuses_is_named(make_rig: Callable[..., Rig]) -> None:
    def refuse(client: socket.socket) -> None:
        client.recv(4096)
        client.sendall(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n")

    proxy = Relay(refuse)
    rig = make_rig(
        BYLINE_PROVIDERS__ANTHROPIC__BASE_URL="https://api.example",
        BYLINE_PROVIDERS__ANTHROPIC__PROXY=f"http://127.0.0.1:{proxy.port}",
    )
    with rig.connect() as client:
        client.sendall(request(body=BODY, key=rig.key))
        head, body = receive_answer(client)
    assert head.startswith(b"HTTP/1.1 502 ")
    assert b"407" in body
    assert rig.rows()[0]["error_type"] == "proxy_error"
    proxy.close()


def test_a_proxy_that_is_not_there_is_named_without_its_password(
    make_rig: Callable[..., Rig], caplog: pytest.LogCaptureFixture
) -> None:
    with socket.socket() as unlistened:  # kept, so that nobody else gets the port meanwhile
        unlistened.bind(("127.0.0.1", 0))
        port = unlistened.getsockname()[1]
        rig = make_rig(
            BYLINE_PROVIDERS__ANTHROPIC__BASE_URL="https://api.example",
            BYLINE_PROVIDERS__ANTHROPIC__PROXY=f"http://me:secret@127.0.0.1:{port}",
        )
        with rig.connect() as client:
            client.sendall(request(body=BODY, key=rig.key))
            _, body = receive_answer(client)
    way = f"api.example:443 through the proxy 127.0.0.1:{port}"
    assert f"no connection to {way}: Connection refused".encode() in body
    assert way in caplog.text
    assert "secret" not in caplog.text


def test_an_address_of_version_six_is_named_in_brackets() -> None:
    assert named(parse_base_url("http://[::1]:8080")) == "[::1]:8080"


@pytest.mark.parametrize(
    ("no_proxy", "used"),
    [
        ("", True),
        ("api.example", False),
        (".example", False),
        ("example", False),
        ("other", True),
        ("*", False),
        ("api.example:444", True),
        ("api.example:443", False),
    ],
)
def test_no_proxy_exempts_hosts(no_proxy: str, used: bool) -> None:
    origin = parse_base_url("https://api.example")
    proxy = choose_proxy(origin, "", {"HTTPS_PROXY": "http://p:1", "NO_PROXY": no_proxy})
    assert (proxy is not None) == used


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("https://h", ""),
        ("https://h/", ""),
        ("https://h/v1", ""),
        ("https://h/api/v1/", "/api"),
        ("https://h/api", "/api"),
    ],
)
def test_a_base_url_may_end_in_the_version_or_not(url: str, path: str) -> None:
    assert parse_base_url(url).base_path == path


@pytest.mark.parametrize("url", ["", "api.example", "ftp://h", "https://u:p@h", "https://h?x=1"])
def test_a_base_url_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(ValueError):
        parse_base_url(url)
