"""The one string stamped upstream: each kind, each policy, every limit."""

from __future__ import annotations

import hashlib
import hmac
import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from byline.identity.identifier import Decision, IdentityPolicy, decide, identity_hash, validate_policy
from byline.identity.model import Actor, Attribution, Claims
from byline.identity.personal import looks_personal
from byline.identity.text import has_control_characters

KEY = b"k" * 32
ALICE = Actor(id="usr_" + "a" * 26, username="alice", email="alice@example.com", team="core")
SERVICE = Actor(id="usr_" + "s" * 26, username="batch", kind="service")
DEVICE = "d" * 64
SESSION = "4d0f7f3a-5e0b-4c5b-9f7c-0d8f3d0c8e11"
CLAUDE_CODE = f'{{"device_id":"{DEVICE}","account_uuid":"","session_id":"{SESSION}"}}'
ALICE_HASH = hmac.new(KEY, b"byline:v1:" + ALICE.id.encode(), hashlib.sha256).hexdigest()


def attribution(
    subject: Actor = ALICE, job: str | None = "nightly", actor: Actor | None = None
) -> Attribution:
    return Attribution(
        actor=actor or subject, subject=subject, job=job, claims=Claims(), auth_source="key", key_id="k"
    )


def make_policy(
    kind="id", policy="overwrite", *, max_length=256, hash_key=KEY, forbids_personal=True
) -> IdentityPolicy:
    return IdentityPolicy(kind, policy, max_length, hash_key, forbids_personal)


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("id", ALICE.id),
        ("username", "alice"),
        ("email", "alice@example.com"),
        ("hash", ALICE_HASH),
        ("user_job", '{"user":"alice","job":"nightly"}'),
    ],
)
def test_each_kind_of_identifier(kind, expected):
    decision = decide(attribution(), None, make_policy(kind, forbids_personal=False))
    assert decision == Decision(expected, expected, "stamped")


def test_the_hash_is_keyed_and_has_64_lower_case_hex_digits():
    assert identity_hash(KEY, ALICE.id) == ALICE_HASH
    assert re.fullmatch("[0-9a-f]{64}", ALICE_HASH)
    assert identity_hash(b"other", ALICE.id) != ALICE_HASH


def test_the_identifier_is_the_subjects_not_the_callers():
    decision = decide(attribution(ALICE, actor=SERVICE), None, make_policy("hash"))
    assert decision.value == ALICE_HASH


def test_a_missing_email_or_job_falls_back_to_the_id_and_is_counted():
    no_email = decide(attribution(SERVICE), None, make_policy("email", forbids_personal=False))
    assert no_email == Decision(SERVICE.id, SERVICE.id, "stamped", ("email_missing",))
    no_job = decide(attribution(job=None), None, make_policy("user_job"))
    assert no_job == Decision(ALICE.id, ALICE.id, "stamped", ("job_missing",))


def test_user_job_is_compact_json_with_names_as_they_are():
    subject = Actor(id="x", username='zoë "z"')
    decision = decide(attribution(subject, "a\\b"), None, make_policy("user_job"))
    assert decision.value == '{"user":"zoë \\"z\\"","job":"a\\\\b"}'
    assert json.loads(decision.value) == {"user": 'zoë "z"', "job": "a\\b"}


@pytest.mark.parametrize(
    ("policy", "client_value", "value", "action"),
    [
        ("overwrite", None, ALICE.id, "stamped"),
        ("overwrite", "mallory", ALICE.id, "replaced"),
        ("overwrite", CLAUDE_CODE, ALICE.id, "replaced"),
        ("fill", None, ALICE.id, "filled"),
        ("fill", "", ALICE.id, "filled"),
        ("fill", "mallory", None, "kept"),
        ("keep", None, None, "none"),
        ("keep", "mallory", None, "kept"),
        ("merge", None, ALICE.id, "stamped"),
        ("merge", "mallory", ALICE.id, "replaced"),
        ("merge", "{not json", ALICE.id, "replaced"),
        ("merge", "[1]", ALICE.id, "replaced"),
    ],
)
def test_each_policy_with_and_without_a_value_of_the_client(policy, client_value, value, action):
    decision = decide(attribution(), client_value, make_policy(policy=policy))
    assert decision == Decision(value, ALICE.id, action)


@pytest.mark.parametrize(
    ("subject", "kind"),
    [
        (Actor(id="u1", username="alice@example.com"), "username"),
        (Actor(id="u1", username="+1 555 123 4567"), "username"),
        (Actor(id="u1", username="x" * 300), "username"),
        (Actor(id="u1", username="a\x00b"), "username"),
        (Actor(id="u1", username="alice@example.com"), "user_job"),
        (Actor(id="u1", username="alice", email="alice@example.com"), "email"),
    ],
)
def test_a_value_that_does_not_fit_is_hashed_and_counted(subject, kind):
    decision = decide(attribution(subject), "client", make_policy(kind))
    expected = identity_hash(KEY, "u1")
    assert decision == Decision(expected, expected, "hashed", ("identifier_hashed",))


def test_an_email_is_stamped_where_the_provider_takes_it():
    decision = decide(attribution(), None, make_policy("email", max_length=64, forbids_personal=False))
    assert (decision.value, decision.action) == ("alice@example.com", "stamped")


def test_merge_puts_user_and_job_before_the_clients_own_members():
    decision = decide(attribution(), CLAUDE_CODE, make_policy("username", "merge"))
    assert decision.value == f'{{"user":"alice","job":"nightly",{CLAUDE_CODE[1:]}'
    assert (decision.action, decision.identifier, decision.counts) == ("merged", "alice", ())


def test_merge_without_a_job_puts_the_user_alone():
    decision = decide(attribution(job=None), CLAUDE_CODE, make_policy("username", "merge"))
    assert decision.value == f'{{"user":"alice",{CLAUDE_CODE[1:]}'


@pytest.mark.parametrize("job", ["nightly", None])
def test_merge_lets_no_user_or_job_of_the_client_survive(job):
    sent = '{"user":"mallory", "job":"secret", "\\u0075ser":"eve", "session_id":"s", "n": 12345678901234567890123}'
    decision = decide(attribution(job=job), sent, make_policy("username", "merge"))
    document = json.loads(decision.value)
    assert document.pop("user") == "alice"
    assert document.pop("job", None) == job
    assert document == {"session_id": "s", "n": 12345678901234567890123}
    assert "mallory" not in decision.value
    assert "eve" not in decision.value


def test_merge_with_user_job_names_the_user_once():
    decision = decide(attribution(), CLAUDE_CODE, make_policy("user_job", "merge"))
    assert decision.value == f'{{"user":"alice","job":"nightly",{CLAUDE_CODE[1:]}'
    assert decision.identifier == '{"user":"alice","job":"nightly"}'


def test_a_merge_that_is_too_long_shortens_the_identifier_then_drops_the_job_then_gives_up():
    kept = len(CLAUDE_CODE)
    short = ALICE_HASH[:32]
    outcomes = {}
    for max_length in (kept + 100, kept + 70, kept + 45, kept + 10):
        decision = decide(attribution(), CLAUDE_CODE, make_policy("hash", "merge", max_length=max_length))
        outcomes[max_length - kept] = decision
    assert json.loads(outcomes[100].value)["user"] == ALICE_HASH
    assert outcomes[100].counts == ()
    assert outcomes[70].value.startswith(f'{{"user":"{short}","job":"nightly","device_id"')
    assert (outcomes[70].identifier, outcomes[70].counts) == (short, ("merge_shortened",))
    assert outcomes[45].value.startswith(f'{{"user":"{short}","device_id"')
    assert outcomes[45].counts == ("merge_shortened", "merge_without_job")
    assert outcomes[10] == Decision(
        ALICE_HASH, ALICE_HASH, "replaced", ("merge_shortened", "merge_without_job", "merge_gave_up")
    )


def test_a_merge_never_carries_a_clients_email_to_where_it_is_forbidden():
    sent = '{"device_id":"d","account_uuid":"bob\\u0040example.com","session_id":"s"}'
    decision = decide(attribution(), sent, make_policy("id", "merge"))
    assert (decision.value, decision.action) == (ALICE.id, "replaced")
    assert "merge_gave_up" in decision.counts


def test_a_key_is_not_shown():
    assert "kkkk" not in repr(make_policy())


@pytest.mark.parametrize(
    ("kind", "max_length", "forbids", "instead"),
    [
        ("email", 256, True, "hash"),
        ("hash", 63, False, "id"),
        ("id", 29, False, "username"),
        ("user_job", 20, False, "username"),
    ],
)
def test_a_policy_that_can_never_fit_is_refused_with_the_line_to_write(kind, max_length, forbids, instead):
    policy = make_policy(kind, max_length=max_length, forbids_personal=forbids)
    with pytest.raises(ValueError) as caught:
        validate_policy(policy, "anthropic")
    assert f'identifier = "{kind}"' in str(caught.value)
    assert str(caught.value).endswith(f'[identity.anthropic]\nidentifier = "{instead}"')
    validate_policy(make_policy(instead, max_length=max_length, forbids_personal=forbids), "anthropic")


@pytest.mark.parametrize("kind", ["id", "username", "hash", "user_job"])
def test_every_other_kind_is_accepted_for_both_providers(kind):
    validate_policy(make_policy(kind, max_length=256, forbids_personal=True), "anthropic")
    validate_policy(make_policy(kind, max_length=64, forbids_personal=False), "openai")


CLEAN_NAMES = st.text(min_size=1, max_size=20).filter(lambda text: not has_control_characters(text))
KINDS = st.sampled_from(["id", "username", "email", "hash", "user_job"])
ANY_TEXT = st.text(st.characters(), max_size=300)  # lone surrogates too
NAMES = st.one_of(ANY_TEXT, st.emails(), st.just("+1 555 123 4567"))
CLIENT_VALUES = st.one_of(
    st.none(),
    ANY_TEXT,
    st.just(CLAUDE_CODE),
    st.dictionaries(ANY_TEXT, st.one_of(ANY_TEXT, st.emails(), st.integers(), st.none())).map(json.dumps),
    st.dictionaries(st.text(max_size=9), st.text(max_size=99)).map(
        lambda d: json.dumps(d, ensure_ascii=False, indent=1)
    ),
)


@given(
    kind=KINDS,
    policy=st.sampled_from(["overwrite", "fill", "merge"]),
    max_length=st.integers(16, 512),
    forbids=st.booleans(),
    actor_id=NAMES,
    username=NAMES,
    email=st.none() | st.emails(),
    job=st.none() | NAMES,
    client_value=CLIENT_VALUES,
)
def test_what_is_sent_always_fits(
    kind, policy, max_length, forbids, actor_id, username, email, job, client_value
):
    subject = Actor(id=actor_id, username=username, email=email)
    rules = make_policy(kind, policy, max_length=max_length, forbids_personal=forbids)
    decision = decide(attribution(subject, job), client_value, rules)
    for sent in (decision.value, decision.identifier):
        if sent is None:
            assert policy == "fill"
            assert client_value
            continue
        assert 0 < len(sent) <= max_length
        assert not has_control_characters(sent)
        assert sent.encode("utf-8")
        assert not (forbids and looks_personal(sent))
    assert decision.action in {"stamped", "replaced", "filled", "kept", "merged", "hashed"}
    assert (decision.action == "hashed") <= ("identifier_hashed" in decision.counts)


@given(kind=KINDS, username=NAMES, job=st.none() | NAMES, client_value=CLIENT_VALUES)
def test_keep_never_changes_the_field_and_still_computes(kind, username, job, client_value):
    decision = decide(attribution(Actor("u1", username), job), client_value, make_policy(kind, "keep"))
    assert decision.value is None
    assert decision.action == ("kept" if client_value else "none")
    assert decision.identifier


@given(
    username=CLEAN_NAMES,
    job=st.none() | CLEAN_NAMES,
    members=st.dictionaries(CLEAN_NAMES, CLEAN_NAMES),
)
def test_a_merged_document_holds_our_names_and_all_else_of_the_clients(username, job, members):
    rules = make_policy("username", "merge", max_length=4096, forbids_personal=False)
    decision = decide(attribution(Actor("u1", username), job), json.dumps(members), rules)
    assert decision.action == "merged"
    document = json.loads(decision.value)
    assert document.pop("user") == username
    assert document.pop("job", None) == job
    assert document == {name: value for name, value in members.items() if name not in {"user", "job"}}


def test_one_policys_answer_is_never_anothers():
    ours, theirs = make_policy("hash"), make_policy("hash", hash_key=b"other")
    assert decide(attribution(), None, ours).value != decide(attribution(), None, theirs).value
    for _ in range(2):
        assert decide(attribution(), None, ours).value == ALICE_HASH
