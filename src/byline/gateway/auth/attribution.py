"""Joins what a credential proves with what the request claims."""

from __future__ import annotations

from typing import Protocol

from byline.identity.model import Actor, Attribution, Claims, Grant


class UserLookup(Protocol):
    def actor_by_username(self, username: str) -> Actor | None: ...


def attribute(grant: Grant, claims: Claims, users: UserLookup) -> Attribution:
    """A claim that is not accepted stays in `claims` and nowhere else."""
    return Attribution(
        actor=grant.actor,
        subject=_subject(grant, claims.user, users),
        job=grant.bound_job or (claims.job if grant.may_claim_job else None),
        claims=claims,
        auth_source=grant.auth_source,
        key_id=grant.key_id,
    )


def _subject(grant: Grant, claimed_user: str | None, users: UserLookup) -> Actor:
    if claimed_user is None or not grant.may_claim_user or claimed_user == grant.actor.username:
        return grant.actor
    return users.actor_by_username(claimed_user) or Actor(id=claimed_user, username=claimed_user)
