"""What is proved and what is claimed, joined."""

from __future__ import annotations

import pytest

from byline.gateway.auth.attribution import attribute
from byline.identity.model import Actor, Claims, Grant

ALICE = Actor("usr_a", "alice", "alice@example.com", "core")
BATCH = Actor("usr_b", "batch", kind="service")


class Users:
    def actor_by_username(self, username: str) -> Actor | None:
        return {"alice": ALICE, "batch": BATCH}.get(username)


def grant(**fields: object) -> Grant:
    return Grant(actor=BATCH, auth_source="key", key_id="k1", **fields)


def test_without_claims_the_request_is_the_actors_own():
    attribution = attribute(grant(), Claims(), Users())
    assert (attribution.actor, attribution.subject, attribution.job) == (BATCH, BATCH, None)
    assert (attribution.auth_source, attribution.key_id) == ("key", "k1")


@pytest.mark.parametrize(
    ("fields", "claimed", "job"),
    [
        ({}, None, None),
        ({}, "claimed", "claimed"),
        ({"may_claim_job": False}, "claimed", None),
        ({"bound_job": "bound"}, "claimed", "bound"),
        ({"bound_job": "bound"}, None, "bound"),
        ({"bound_job": "bound", "may_claim_job": False}, "claimed", "bound"),
    ],
)
def test_a_bound_job_wins_and_a_claimed_one_counts_where_it_may_be_claimed(fields, claimed, job):
    claims = Claims(job=claimed)
    attribution = attribute(grant(**fields), claims, Users())
    assert attribution.job == job
    assert attribution.claims.job == claimed


def test_a_claimed_user_is_the_subject_only_where_it_may_be_claimed():
    claims = Claims(user="alice")
    refused = attribute(grant(), claims, Users())
    assert refused.subject == BATCH
    assert refused.claims.user == "alice"
    accepted = attribute(grant(may_claim_user=True), claims, Users())
    assert accepted.subject == ALICE
    assert accepted.actor == BATCH


def test_an_unknown_user_becomes_a_subject_by_that_name_with_nothing_of_the_actors():
    subject = attribute(grant(may_claim_user=True), Claims(user="zoe"), Users()).subject
    assert subject == Actor(id="zoe", username="zoe", email=None, team=None)


def test_claiming_to_be_oneself_is_no_delegation():
    assert attribute(grant(may_claim_user=True), Claims(user="batch"), Users()).subject is BATCH
