"""Who is calling, for every way in which credentials can be sent together."""

from __future__ import annotations

import asyncio

import pytest

from byline.control.keys import create_key, revoke_key
from byline.gateway.auth.admission import Admission, Refusal
from byline.gateway.auth.authenticator import Authenticator
from byline.gateway.auth.keys import KeySource
from byline.gateway.auth.proxy import ProxyRules, ProxySource, parse_networks
from byline.identity.model import Actor, Grant

PEER = "127.0.0.1"
PROVIDER_KEY = b"sk-ant-api03-not-a-real-one"
OAUTH = b"Bearer sk-ant-oat01-not-a-real-one"
JWT = b"eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJvdXJzIn0.c2ln"


class Keys:
    def __init__(self, database, directory) -> None:
        self.database, self.directory = database, directory

    def __call__(self, username: str, **fields: object) -> bytes:
        new = create_key(self.database, username, **fields)
        self.directory.refresh_if_changed()
        return new.text.encode()


class Tokens:
    """Stands for a token source: everything is from our issuer and good, at once or later."""

    def __init__(self, *, later: bool = False) -> None:
        self._later = later

    def verify(self, token: bytes):
        grant = Grant(Actor("jwt-id", "jwt-user"), "jwt")
        return self._wait(grant) if self._later else grant

    async def _wait(self, grant: Grant) -> Grant:
        await asyncio.sleep(0)
        return grant

    def issued(self, token: bytes) -> bool:
        return token == JWT


@pytest.fixture
def make_key(database, directory):
    return Keys(database, directory)


@pytest.fixture
def authenticate(directory, clock):
    def authenticate(*headers: tuple[bytes, bytes], peer: str = PEER, tokens=None, proxy=None):
        authenticator = Authenticator(KeySource(directory, clock), tokens=tokens, proxy=proxy)
        return authenticator.authenticate([(b"host", b"gateway"), *headers, (b"user-agent", b"x")], peer)

    return authenticate


def bearer(key: bytes, scheme: bytes = b"Bearer") -> tuple[bytes, bytes]:
    return b"authorization", scheme + b" " + key


def x_api_key(key: bytes) -> tuple[bytes, bytes]:
    return b"x-api-key", key


def byline_key(key: bytes) -> tuple[bytes, bytes]:
    return b"x-byline-key", key


def assert_refused(answer: object, kind: str, status: int = 401) -> str:
    assert isinstance(answer, Refusal), answer
    assert (answer.status, answer.kind) == (status, kind)
    return answer.message


def assert_admitted(
    answer: object, username: str, client_credential: tuple[bytes, bytes] | None = None
) -> None:
    assert isinstance(answer, Admission), answer
    assert answer.grant.actor.username == username
    assert answer.client_credential == client_credential


@pytest.mark.parametrize("scheme", [b"Bearer", b"bearer", b"BEARER", b"bEaReR"])
def test_a_key_is_accepted_as_bearer_in_any_case(make_key, authenticate, scheme):
    assert_admitted(authenticate(bearer(make_key("alice"), scheme)), "alice")


def test_a_key_is_accepted_as_x_api_key(make_key, authenticate):
    assert_admitted(authenticate(x_api_key(make_key("alice"))), "alice")


def test_a_key_in_x_byline_key_alone_uses_the_gateways_credential(make_key, authenticate):
    assert_admitted(authenticate(byline_key(make_key("alice"))), "alice")


@pytest.mark.parametrize(
    "credential", [(b"authorization", OAUTH), (b"x-api-key", PROVIDER_KEY), (b"authorization", b"Basic dTpw")]
)
def test_with_x_byline_key_the_clients_own_credential_travels_unchanged(make_key, authenticate, credential):
    assert_admitted(authenticate(byline_key(make_key("alice")), credential), "alice", credential)


def test_two_provider_credentials_beside_x_byline_key_are_refused_with_the_remedy(make_key, authenticate):
    answer = authenticate(byline_key(make_key("alice")), (b"authorization", OAUTH), x_api_key(PROVIDER_KEY))
    assert "Send only your one provider credential" in assert_refused(answer, "conflicting_credentials")


@pytest.mark.parametrize("blank", [(b"authorization", b"Bearer "), (b"authorization", b"Bearer"), (b"authorization", b""), (b"x-api-key", b"")])  # fmt: skip
def test_a_blank_credential_counts_as_none(make_key, authenticate, blank):
    key = make_key("alice")
    assert_admitted(authenticate(byline_key(key), blank), "alice")
    other = x_api_key(PROVIDER_KEY) if blank[0] == b"authorization" else (b"authorization", OAUTH)
    assert_admitted(authenticate(byline_key(key), blank, other), "alice", other)
    assert_refused(authenticate(blank), "no_credential")


@pytest.mark.parametrize("bad", [b"", b"byl_", b"sk-ant-x", b"byl_aaaaaaaaaaaa_" + b"s" * 43, b"Bearer x"])
def test_a_bad_x_byline_key_is_refused_even_beside_a_good_key(make_key, authenticate, bad):
    good = make_key("alice")
    for answer in (
        authenticate(byline_key(bad), bearer(good)),
        authenticate(byline_key(bad), x_api_key(good)),
        authenticate(byline_key(bad), x_api_key(PROVIDER_KEY)),
    ):
        assert isinstance(answer, Refusal)
        assert answer.status == 401


def test_a_byline_key_wins_over_a_provider_credential_which_is_dropped(make_key, authenticate):
    key = make_key("alice")
    assert_admitted(authenticate(bearer(key), x_api_key(PROVIDER_KEY)), "alice")
    assert_admitted(authenticate((b"authorization", OAUTH), x_api_key(key)), "alice")


def test_the_same_users_keys_in_two_headers_are_accepted_and_never_sent_on(make_key, authenticate):
    first, second = make_key("alice", job="one"), make_key("alice", job="two")
    assert_admitted(authenticate(bearer(first), x_api_key(first)), "alice")
    assert_admitted(authenticate(byline_key(first), bearer(second), x_api_key(second)), "alice")
    answer = authenticate(x_api_key(second), bearer(first), byline_key(second))
    assert answer.grant.bound_job == "two", "X-Byline-Key comes first"


def test_keys_of_two_users_are_refused(make_key, authenticate):
    alice, bob = make_key("alice"), make_key("bob")
    for headers in (
        [bearer(alice), x_api_key(bob)],
        [byline_key(alice), bearer(bob)],
        [byline_key(alice), x_api_key(bob)],
        [byline_key(alice), bearer(alice), x_api_key(bob)],
    ):
        assert_refused(authenticate(*headers), "conflicting_credentials")


def test_a_good_key_beside_an_unknown_one_is_refused(make_key, authenticate):
    unknown = b"byl_aaaaaaaaaaaa_" + b"s" * 43
    assert_refused(authenticate(bearer(make_key("alice")), x_api_key(unknown)), "unknown_key")
    assert_refused(authenticate(bearer(unknown), x_api_key(make_key("alice"))), "unknown_key")


@pytest.mark.parametrize("name", [b"authorization", b"x-api-key", b"x-byline-key"])
def test_a_repeated_credential_header_is_refused(make_key, authenticate, name):
    key = make_key("alice")
    value = b"Bearer " + key if name == b"authorization" else key
    message = assert_refused(authenticate((name, value), (name, value)), "repeated_credential")
    assert name.decode() in message
    assert_refused(authenticate((name, b""), (name, value)), "repeated_credential")


def test_nothing_sent_and_a_foreign_credential_get_different_advice(authenticate):
    assert "Authorization: Bearer" in assert_refused(authenticate(), "no_credential")
    assert "add `X-Byline-Key" in assert_refused(authenticate(x_api_key(PROVIDER_KEY)), "no_credential")


@pytest.mark.parametrize("form", [b"Basic %s", b"Token %s", b"Bearer\t%s", b"Bearer token=%s"])
def test_a_key_in_an_unknown_form_is_refused_and_never_taken_for_a_provider_credential(
    make_key, authenticate, form
):
    key = make_key("alice")
    misplaced = (b"authorization", form % key)
    assert_refused(authenticate(misplaced), "malformed_key")
    assert_refused(authenticate(byline_key(key), misplaced), "malformed_key")
    assert_refused(authenticate(byline_key(key), x_api_key(b"prefix " + key)), "malformed_key")


def test_a_key_without_a_scheme_is_still_a_key(make_key, authenticate):
    key = make_key("alice")
    assert_admitted(authenticate((b"authorization", key)), "alice")
    assert_admitted(authenticate(byline_key(key), (b"authorization", key)), "alice")


@pytest.mark.parametrize("cut", [1, 20, 56])
def test_a_cut_key_says_how_long_a_key_is(make_key, authenticate, cut):
    message = assert_refused(authenticate(bearer(make_key("alice")[:-cut])), "malformed_key")
    assert "60 characters" in message


def test_a_wrong_secret_and_an_unknown_id_are_told_nothing_apart(make_key, authenticate):
    key = make_key("alice")
    wrong_secret = key[:-1] + (b"A" if key[-1:] != b"A" else b"B")
    unknown_id = b"byl_aaaaaaaaaaaa" + key[16:]
    assert authenticate(bearer(wrong_secret)) == authenticate(bearer(unknown_id))


def test_only_the_holder_learns_that_a_key_was_revoked_or_has_expired(
    make_key, authenticate, clock, database, directory
):
    expiring = make_key("alice", expires_at=clock.at + 10)
    revoked = make_key("bob")
    revoke_key(database, revoked[4:16].decode())
    directory.refresh_if_changed()
    clock.at += 10
    assert "has expired" in assert_refused(authenticate(bearer(expiring)), "expired_key")
    assert "was revoked" in assert_refused(authenticate(bearer(revoked)), "revoked_key")
    for key in (expiring, revoked):
        guess = key[:17] + b"s" * 43
        assert_refused(authenticate(bearer(guess)), "unknown_key")


def test_no_message_and_no_repr_holds_what_was_sent(make_key, authenticate, clock):
    key = make_key("alice", expires_at=clock.at)
    secret = key[-43:].decode()
    for answer in (
        authenticate(bearer(key)),
        authenticate(bearer(key[:-1])),
        authenticate(bearer(key), x_api_key(key[:-1] + b"A")),
    ):
        assert secret[:-1] not in repr(answer)
    own = authenticate(byline_key(make_key("bob")), x_api_key(PROVIDER_KEY))
    assert PROVIDER_KEY.decode() not in repr(own)


def test_keys_that_cannot_be_verified_are_a_503_only_after_max_stale(make_key, authenticate, clock, database):
    key = make_key("alice")
    database.path.rename(database.path.with_suffix(".away"))
    clock.at += 300
    assert_admitted(authenticate(bearer(key)), "alice")
    clock.at += 1
    assert_refused(authenticate(bearer(key)), "keys_unavailable", 503)


def test_use_is_recorded_on_success_alone(make_key, authenticate, clock, database, directory):
    key, expired = make_key("alice"), make_key("alice", expires_at=clock.at)
    authenticate(bearer(key))
    authenticate(bearer(expired))
    authenticate(bearer(key[:-3] + b"___"))
    directory.flush_uses()
    used = dict(database.rows("SELECT key_id, last_used_at FROM keys"))
    assert used == {key[4:16].decode(): clock.at, expired[4:16].decode(): None}


def test_a_token_is_accepted_where_tokens_are_set_up(authenticate):
    assert_admitted(authenticate(bearer(JWT), tokens=Tokens()), "jwt-user")
    assert_admitted(authenticate(x_api_key(JWT), tokens=Tokens()), "jwt-user")
    assert_admitted(authenticate(bearer(JWT), x_api_key(JWT), tokens=Tokens()), "jwt-user")
    assert_refused(authenticate(bearer(JWT)), "no_credential")


def test_a_token_whose_keys_must_be_fetched_is_awaited(authenticate):
    async def answer():
        return await authenticate(bearer(JWT), tokens=Tokens(later=True))

    assert_admitted(asyncio.run(answer()), "jwt-user")


def test_a_key_counts_before_a_token_and_two_tokens_are_refused(make_key, authenticate):
    assert_admitted(authenticate(bearer(JWT), x_api_key(make_key("alice")), tokens=Tokens()), "alice")
    assert_refused(
        authenticate(bearer(JWT), x_api_key(JWT + b"x"), tokens=Tokens()), "conflicting_credentials"
    )


def test_a_token_of_our_issuer_never_travels_on_as_the_clients_credential(make_key, authenticate):
    key = make_key("alice")
    foreign = bearer(b"eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJ0aGVpcnMifQ.c2ln")
    assert_refused(authenticate(byline_key(key), bearer(JWT), tokens=Tokens()), "conflicting_credentials")
    assert_admitted(authenticate(byline_key(key), foreign, tokens=Tokens()), "alice", foreign)


@pytest.fixture
def proxy(directory):
    rules = ProxyRules(
        networks=parse_networks(["10.0.0.0/24"]),
        user_header=b"x-forwarded-user",
        email_header=b"x-forwarded-email",
        team_header=b"x-forwarded-groups",
    )
    return ProxySource(rules, directory)


def test_a_trusted_proxy_counts_where_neither_key_nor_token_is_sent(make_key, authenticate, proxy):
    said = (b"x-forwarded-user", b"carol")
    assert_admitted(authenticate(said, peer="10.0.0.9", proxy=proxy), "carol")
    assert_admitted(authenticate(said, bearer(make_key("alice")), peer="10.0.0.9", proxy=proxy), "alice")
    assert_admitted(
        authenticate(said, bearer(JWT), peer="10.0.0.9", proxy=proxy, tokens=Tokens()), "jwt-user"
    )
    answer = authenticate(said, x_api_key(PROVIDER_KEY), peer="10.0.0.9", proxy=proxy)
    assert_admitted(answer, "carol", None)


def test_a_bad_key_is_not_saved_by_a_trusted_proxy(authenticate, proxy):
    unknown = b"byl_aaaaaaaaaaaa_" + b"s" * 43
    answer = authenticate((b"x-forwarded-user", b"carol"), bearer(unknown), peer="10.0.0.9", proxy=proxy)
    assert_refused(answer, "unknown_key")


def test_a_proxys_headers_from_elsewhere_are_ignored(authenticate, proxy):
    assert_refused(
        authenticate((b"x-forwarded-user", b"carol"), peer="10.0.1.9", proxy=proxy), "no_credential"
    )
