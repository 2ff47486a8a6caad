from __future__ import annotations

import ssl

import pytest
import trustme

from byline.budgets.redis_address import parse_address


def test_a_url_names_host_port_database_and_who_asks() -> None:
    address = parse_address("redis://ada:p%40ss@counters.example:6380/3")
    assert (address.host, address.port, address.database) == ("counters.example", 6380, 3)
    assert (address.username, address.password, address.tls) == ("ada", "p@ss", None)


def test_what_is_left_out_is_redis_own_default() -> None:
    address = parse_address("valkey://:secret@[::1]")
    assert (address.host, address.port, address.database) == ("::1", 6379, 0)
    assert (address.username, address.password) == (None, "secret")
    assert parse_address("redis://").host == "localhost"


def test_a_unix_socket_takes_its_database_from_the_options() -> None:
    address = parse_address("unix:///run/redis@the%20one.sock?db=2")
    assert (address.path, address.database) == ("/run/redis@the one.sock", 2)


@pytest.mark.parametrize("scheme", ["rediss", "valkeys"])
def test_tls_checks_the_server_unless_told_otherwise(scheme: str) -> None:
    checked = parse_address(f"{scheme}://counters.example").tls
    assert checked is not None
    assert (checked.verify_mode, checked.check_hostname) == (ssl.CERT_REQUIRED, True)
    nameless = parse_address(f"{scheme}://counters.example?ssl_check_hostname=false").tls
    assert nameless is not None
    assert (nameless.verify_mode, nameless.check_hostname) == (ssl.CERT_REQUIRED, False)
    unchecked = parse_address(f"{scheme}://counters.example?ssl_cert_reqs=none").tls
    assert unchecked is not None
    assert unchecked.verify_mode == ssl.CERT_NONE


def test_tls_takes_an_authority_and_a_certificate_of_its_own(tmp_path) -> None:
    authority, pem, ca = trustme.CA(), tmp_path / "own.pem", tmp_path / "ca.pem"
    authority.issue_cert("client").private_key_and_cert_chain_pem.write_to_path(pem)
    authority.cert_pem.write_to_path(ca)
    address = parse_address(f"rediss://counters.example?ssl_ca_certs={ca}&ssl_certfile={pem}")
    assert address.tls is not None
    assert len(address.tls.get_ca_certs()) == 1


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("redis://ada:secret@host:99999/0", "the port must be a number up to 65535"),
        ("redis://ada:secret@host..example/0", "'host..example' can't be a host's name"),
        ("redis://ada:secret@host/main", "'main' is no database"),
        ("redis://ada:secret@host/0?ssl_cert_reqs=none", "unknown option 'ssl_cert_reqs'"),
        ("rediss://ada:secret@host/0?max_connections=4", "unknown option 'max_connections'"),
        ("redis://:12/secret@host/0", "an @ behind the host's name: in passwords, / "),
        ("redis://:12?secret=1@host/0", "an @ behind the host's name"),
        ("redis://:12#secret@host/0", "an @ behind the host's name"),
        ("redis://:of[secret]s@host/0", "it can't be read: in passwords"),
        ("rediss://ada:secret@host/0?ssl_ca_certs=/no/ca.pem", "can be read from /no/ca.pem: No such file"),
        ("rediss://ada:secret@host/0?ssl_ca_certs=/dev/null", "can be read from /dev/null: "),
        ("rediss://ada:secret@host/0?ssl_certfile=/no/own.pem", "can be read from /no/own.pem"),
    ],
)
def test_a_url_that_cannot_be_meant_is_refused_without_its_password(url: str, says: str) -> None:
    with pytest.raises(ValueError, match=says) as refused:
        parse_address(url)
    assert "secret" not in str(refused.value)


def test_no_repr_shows_who_asks() -> None:
    shown = repr(parse_address("redis://ada:secret@host/0"))
    assert "secret" not in shown
    assert "ada" not in shown
