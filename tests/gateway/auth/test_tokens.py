"""Tokens of an OpenID Connect issuer: every way they can be wrong, and what they become when right."""

from __future__ import annotations

import asyncio
import base64
import json

import jwt
import pytest
from tests.gateway.token_issuer import AUDIENCE, ISSUER, NOW, Signer

from byline.gateway.auth.admission import Refusal
from byline.gateway.auth.jwks import SigningKeys
from byline.gateway.auth.tokens import TokenRules, TokenSource
from byline.identity.model import Actor, Grant

RULES = TokenRules(issuer=ISSUER, audience=AUDIENCE)


class Issuer:
    """What the JWKS holds, and how often it was fetched."""

    def __init__(self, *signers: Signer) -> None:
        self.signers = signers
        self.fetches = 0
        self.broken = False

    def fetch(self) -> bytes:
        self.fetches += 1
        if self.broken:
            raise OSError("no route")
        return json.dumps({"keys": [signer.jwk for signer in self.signers]}).encode()


@pytest.fixture
def issuer(ec_signer, rsa_signer):
    return Issuer(ec_signer, rsa_signer)


@pytest.fixture
def verify(issuer, clock):
    """Verifies tokens in order by one source, which has fetched the keys before."""
    sources: list[TokenSource] = []

    def verify(*tokens: bytes, rules: TokenRules = RULES, warm: bool = True):
        async def run():
            keys = SigningKeys(issuer.fetch, refresh_interval_s=300, clock=clock)
            if warm:
                await keys.refresh()
            source = TokenSource(rules, keys, clock)
            sources.append(source)
            answers = []
            for token in tokens:
                answer = source.verify(token)
                answers.append(answer if isinstance(answer, Grant | Refusal) else await answer)
            await keys.close()
            return answers

        answers = asyncio.run(run())
        return answers[0] if len(tokens) == 1 else answers

    return verify


def assert_refused(answer: object, kind: str, text: str = "", status: int = 401) -> None:
    assert isinstance(answer, Refusal), answer
    assert (answer.kind, answer.status) == (kind, status)
    assert text in answer.message


def test_claims_become_an_actor(ec_signer, verify):
    token = ec_signer.token(preferred_username="alice", email="a@example.com", team="core")
    grant = verify(token)
    assert grant.actor == Actor("alice-id", "alice", "a@example.com", "core")
    assert (grant.auth_source, grant.key_id, grant.bound_job) == ("jwt", None, None)
    assert (grant.may_claim_job, grant.may_claim_user) == (True, False)


def test_which_claim_is_what_can_be_chosen(ec_signer, verify):
    rules = TokenRules(
        issuer=ISSUER,
        audience=AUDIENCE,
        id_claim="oid",
        username_claim="upn",
        team_claim="groups",
        job_claim="job",
        may_claim_job=False,
        may_claim_user=True,
    )
    grant = verify(
        ec_signer.token(oid="o-1", upn="alice", groups=["core", "ops"], job="nightly"), rules=rules
    )
    assert grant.actor == Actor("o-1", "alice", None, "core")
    assert (grant.bound_job, grant.may_claim_job, grant.may_claim_user) == ("nightly", False, True)


def test_without_a_username_the_id_stands_in(ec_signer, verify):
    assert verify(ec_signer.token()).actor == Actor("alice-id", "alice-id")


def test_an_rsa_signature_is_accepted(rsa_signer, verify):
    assert isinstance(verify(rsa_signer.token()), Grant)


@pytest.mark.parametrize(
    ("claims", "kind", "text"),
    [
        ({"iss": "https://evil.example.com"}, "invalid_token", "issuer"),
        ({"aud": "somebody-else"}, "invalid_token", "another audience"),
        ({"aud": ["x", "y"]}, "invalid_token", "another audience"),
        ({"exp": None}, "invalid_token", "lacks"),
        ({"iss": None}, "invalid_token", "lacks"),
        ({"aud": None}, "invalid_token", "lacks"),
        ({"exp": "soon"}, "invalid_token", "times"),
        ({"exp": True}, "invalid_token", "times"),
        ({"exp": NOW - 30}, "expired_token", "expired"),
        ({"nbf": NOW + 31}, "invalid_token", "not valid yet"),
        ({"nbf": "x"}, "invalid_token", "times"),
    ],
)
def test_a_token_with_a_wrong_claim_is_refused_for_that_reason(ec_signer, verify, claims, kind, text):
    assert_refused(verify(ec_signer.token(**claims)), kind, text)


def test_clocks_may_differ_by_the_leeway(ec_signer, verify):
    assert isinstance(verify(ec_signer.token(exp=NOW - 29)), Grant)
    assert isinstance(verify(ec_signer.token(nbf=NOW + 29)), Grant)


def test_one_audience_among_several_is_enough(ec_signer, verify):
    assert isinstance(verify(ec_signer.token(aud=["other", AUDIENCE])), Grant)


@pytest.mark.parametrize("sub", [None, "", "a\x00b", "x" * 600, " x"])
def test_a_good_token_that_names_nobody_is_forbidden(ec_signer, verify, sub):
    assert_refused(verify(ec_signer.token(sub=sub)), "unmapped_token", "`sub` names nobody", 403)


def test_claims_that_are_no_names_are_left_out(ec_signer, verify):
    grant = verify(ec_signer.token(preferred_username=7, email={"x": 1}, team=[]))
    assert grant.actor == Actor("alice-id", "alice-id")


def test_a_changed_payload_or_signature_is_refused(ec_signer, verify):
    header, _, signature = ec_signer.token().split(b".")
    _, payload, _ = ec_signer.token(sub="mallory").split(b".")
    assert_refused(verify(b".".join((header, payload, signature))), "invalid_token", "signature")


def test_another_key_of_the_same_id_is_refused(verify):
    assert_refused(verify(Signer("ec-1").token()), "invalid_token", "signature")


def test_an_unsigned_token_is_refused(verify):
    token = jwt.encode({"iss": ISSUER, "aud": AUDIENCE, "exp": NOW + 60, "sub": "x"}, "", "none").encode()
    assert_refused(verify(token), "invalid_token", "algorithm")


def test_a_public_key_used_as_a_shared_secret_is_refused(rsa_signer, verify):
    secret = json.dumps(rsa_signer.jwk) * 2
    claims = {"iss": ISSUER, "aud": AUDIENCE, "exp": NOW + 60, "sub": "x"}
    token = jwt.encode(claims, secret, "HS256", headers={"kid": rsa_signer.kid}).encode()
    assert_refused(verify(token), "invalid_token", "algorithm")


def test_a_key_of_another_type_than_the_algorithm_is_not_used(ec_signer, rsa_signer, verify):
    token = ec_signer.token(headers={"kid": rsa_signer.kid})
    assert_refused(verify(token), "invalid_token", "no such signing key")


def test_an_algorithm_that_is_not_listed_is_refused(rsa_signer, verify):
    claims = {"iss": ISSUER, "aud": AUDIENCE, "exp": NOW + 60, "sub": "x"}
    token = jwt.encode(claims, rsa_signer.private, "RS512", headers={"kid": rsa_signer.kid}).encode()
    assert_refused(verify(token), "invalid_token", "algorithm")


@pytest.mark.parametrize(
    "token",
    [
        b"eyJ.eyJ.x", b"eyJhbGciOiJFUzI1NiJ9.!!.x", b"eyJhbGciOiJFUzI1NiJ9..", b"..", b"eyJ", b"\xff.\xff.\xff",
        base64.urlsafe_b64encode(b'{"alg":{}}') + b".e30.x", base64.urlsafe_b64encode(b'{"alg":["ES256"]}') + b".e30.x",
        base64.urlsafe_b64encode(b'{"alg":"ES256","kid":{}}') + b".e30.x",
        base64.urlsafe_b64encode(b'{"alg":"ES256","kid":7}') + b".e30.x",
        base64.urlsafe_b64encode(b"[" * 3000) + b".e30.x",
    ],
)  # fmt: skip
def test_what_is_no_token_is_refused(verify, token):
    assert_refused(verify(token), "invalid_token")


def test_a_token_without_a_key_id_is_accepted_where_only_one_key_can_be_meant(ec_signer, issuer, verify):
    claims = {"iss": ISSUER, "aud": AUDIENCE, "exp": NOW + 60, "sub": "x"}
    token = jwt.encode(claims, ec_signer.private, "ES256").encode()
    assert isinstance(verify(token), Grant)
    issuer.signers = (ec_signer, Signer("ec-2"))
    assert_refused(verify(token), "invalid_token", "no such signing key")


def test_the_first_token_waits_for_the_keys(ec_signer, issuer, verify):
    assert isinstance(verify(ec_signer.token(), warm=False), Grant)
    assert issuer.fetches == 1


def test_a_token_is_verified_once_and_remembered_until_it_expires(ec_signer, issuer, clock, monkeypatch):
    async def run():
        keys = SigningKeys(issuer.fetch, refresh_interval_s=1e9, clock=clock)
        await keys.refresh()
        source = TokenSource(RULES, keys, clock)
        token = ec_signer.token(exp=NOW + 60)
        first = source.verify(token)
        monkeypatch.setattr(jwt, "get_unverified_header", None)  # whoever verifies again fails
        assert source.verify(token) is first
        clock.at += 60 + 29
        assert source.verify(token) is first
        monkeypatch.undo()
        clock.at += 1
        assert_refused(source.verify(token), "expired_token")
        assert token not in repr(vars(source)).encode()

    asyncio.run(run())


def test_a_withdrawn_key_ends_the_tokens_it_signed(ec_signer, rsa_signer, issuer, clock):
    async def run():
        keys = SigningKeys(issuer.fetch, refresh_interval_s=300, clock=clock)
        await keys.refresh()
        source = TokenSource(RULES, keys, clock)
        token = ec_signer.token()
        assert isinstance(source.verify(token), Grant)
        issuer.signers = (rsa_signer,)
        await keys.refresh()
        answer = source.verify(token)
        assert_refused(await answer, "invalid_token", "no such signing key")

    asyncio.run(run())


def test_while_no_keys_can_be_had_the_answer_is_503_without_a_fetch_for_each(ec_signer, issuer, verify):
    issuer.broken = True
    for answer in verify(*[ec_signer.token()] * 20, warm=False):
        assert_refused(answer, "tokens_unavailable", status=503)
    assert issuer.fetches == 2, "the first, and one asked for by a token"


def test_a_new_key_is_fetched_when_a_token_names_it_but_not_for_every_made_up_name(issuer, clock, ec_signer):
    async def run():
        keys = SigningKeys(issuer.fetch, refresh_interval_s=1e9, clock=clock)
        await keys.refresh()
        source = TokenSource(RULES, keys, clock)
        new = Signer("ec-2")
        issuer.signers = (ec_signer, new)
        assert isinstance(await source.verify(new.token()), Grant)
        assert issuer.fetches == 2
        for number in range(50):
            assert_refused(
                source.verify(ec_signer.token(headers={"kid": f"made-up-{number}"})), "invalid_token"
            )
        assert issuer.fetches == 2
        clock.at += 5
        assert_refused(await source.verify(ec_signer.token(headers={"kid": "made-up"})), "invalid_token")
        assert issuer.fetches == 3

    asyncio.run(run())


def test_what_is_remembered_is_bounded(ec_signer, issuer, clock, monkeypatch):
    monkeypatch.setattr("byline.gateway.auth.tokens._REMEMBERED_TOKENS", 3)

    async def run():
        keys = SigningKeys(issuer.fetch, refresh_interval_s=1e9, clock=clock)
        await keys.refresh()
        source = TokenSource(RULES, keys, clock)
        for number in range(10):
            source.verify(ec_signer.token(sub=f"user-{number}"))
        assert len(source._verified) == 3

    asyncio.run(run())


def test_it_tells_its_issuers_tokens_from_others(ec_signer, issuer, clock):
    source = TokenSource(RULES, SigningKeys(issuer.fetch, refresh_interval_s=300, clock=clock), clock)
    assert source.issued(ec_signer.token(exp=NOW - 9999))
    assert not source.issued(ec_signer.token(iss="https://other.example.com"))
    assert not source.issued(b"eyJ.eyJ.x")


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"issuer": ""}, "needs `issuer`"),
        ({"audience": ""}, "needs `audience`"),
        ({"algorithms": ("RS256", "HS256")}, "may not have HS256"),
        ({"algorithms": ("none",)}, "may not have none"),
        ({"algorithms": ()}, "may not have no entry"),
    ],
)
def test_rules_that_would_let_in_anybody_are_refused(fields, text):
    with pytest.raises(ValueError, match=text):
        TokenRules(**{"issuer": ISSUER, "audience": AUDIENCE, **fields})


@pytest.mark.parametrize("part", [0, 1])
def test_endless_nesting_is_no_token(verify, part):
    nested = base64.urlsafe_b64encode(b'{"a":' + b"[" * 5500).rstrip(b"=")
    parts = [base64.urlsafe_b64encode(b'{"alg":"ES256"}').rstrip(b"="), b"e30", b"e30"]
    parts[part] = nested
    assert_refused(verify(b".".join(parts)), "invalid_token")
