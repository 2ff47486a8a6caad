"""A trusted proxy's headers, and only a trusted one's."""

from __future__ import annotations

import pytest

from byline.control.keys import create_key
from byline.gateway.auth.admission import Refusal
from byline.gateway.auth.proxy import ProxyRules, ProxySource, parse_networks
from byline.identity.model import Actor

TRUSTED = ["10.1.2.3", "192.168.0.0/16", "fd00::/8"]


@pytest.fixture
def source(directory):
    rules = ProxyRules(
        networks=parse_networks(TRUSTED),
        user_header=b"x-forwarded-user",
        email_header=b"x-forwarded-email",
        team_header=b"x-forwarded-groups",
        may_claim_user=True,
    )
    return ProxySource(rules, directory)


@pytest.mark.parametrize(
    ("peer", "trusted"),
    [
        ("10.1.2.3", True), ("10.1.2.4", False), ("192.168.7.7", True), ("fd00::1", True), ("fe80::1%eth0", False),
        ("::ffff:10.1.2.3", True), ("::ffff:10.1.2.4", False), ("127.0.0.1", False), ("", False), ("not-an-address", False),
    ],
)  # fmt: skip
def test_only_listed_addresses_are_believed(source, peer, trusted):
    for _ in range(2):  # the second time from memory
        assert (source.identify([(b"x-forwarded-user", b"carol")], peer) is not None) == trusted


def test_an_unknown_user_is_described_by_the_headers(source):
    headers = [
        (b"x-forwarded-user", b"zo\xc3\xab"),
        (b"x-forwarded-email", b"zoe@example.com"),
        (b"x-forwarded-groups", b"core, ops"),
    ]
    grant = source.identify(headers, "10.1.2.3")
    assert grant.actor == Actor("zoë", "zoë", "zoe@example.com", "core")
    assert (grant.auth_source, grant.key_id) == ("proxy", None)
    assert (grant.may_claim_job, grant.may_claim_user) == (True, True)


def test_a_known_user_is_the_actor_of_the_control_database(source, database, directory):
    actor = create_key(database, "alice", team="core").info.actor
    directory.refresh_if_changed()
    headers = [(b"x-forwarded-user", b"alice"), (b"x-forwarded-groups", b"admins")]
    assert source.identify(headers, "10.1.2.3").actor == actor


@pytest.mark.parametrize("headers", [[], [(b"x-forwarded-user", b"")], [(b"x-forwarded-user", b"  ")]])
def test_a_proxy_that_names_nobody_identifies_nobody(source, headers):
    assert source.identify(headers, "10.1.2.3") is None


@pytest.mark.parametrize(
    "headers",
    [
        [(b"x-forwarded-user", b"a"), (b"x-forwarded-user", b"b")],
        [(b"x-forwarded-user", b"a\xff")],
        [(b"x-forwarded-user", b"a\x1bb")],
        [(b"x-forwarded-user", b"a" * 600)],
        [(b"x-forwarded-user", b"a"), (b"x-forwarded-email", b"x\x00")],
    ],
)
def test_repeated_or_unreadable_headers_are_refused_rather_than_altered(source, headers):
    answer = source.identify(headers, "10.1.2.3")
    assert isinstance(answer, Refusal)
    assert (answer.status, answer.kind) == (401, "invalid_proxy_header")


def test_what_is_no_network_is_named_with_the_way_to_write_it():
    with pytest.raises(ValueError, match=r"'10\.0\.0\.300' is not an address or network .* `10\.0\.0\.0/24`"):
        parse_networks(["10.0.0.1", "10.0.0.300"])
    with pytest.raises(ValueError, match="host bits set"):
        parse_networks(["10.0.0.1/24"])
