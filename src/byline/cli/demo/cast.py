"""Who works at the desk: people and services of two teams, their keys, and three jobs with owners."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from byline.control.database import ControlDatabase
from byline.control.jobs import set_job
from byline.control.keys import create_key
from byline.identity.model import ActorKind


@dataclass(frozen=True, slots=True)
class Role:
    username: str
    team: str
    kind: ActorKind = "person"
    bound_job: str | None = None


@dataclass(frozen=True, slots=True)
class Player:
    """Somebody with a key, ready to make calls."""

    role: Role
    actor_id: str
    key: str = field(repr=False)


NADIA: Final = Role("nadia", "newsroom")
OMAR: Final = Role("omar", "newsroom")
FACT_CHECKER: Final = Role("fact-checker", "newsroom", "service", bound_job="fact-check-nightly")
INDEXER: Final = Role("archive-indexer", "archive", "service", bound_job="archive-backfill")
ROLES: Final = (NADIA, OMAR, FACT_CHECKER, INDEXER)

ELECTION: Final = "election-liveblog"
"""A job that no key is bound to: whoever works on it says so."""
OWNERS: Final = {"fact-check-*": "nadia", "archive-backfill": "ines", ELECTION: "omar"}


def hire(database: ControlDatabase) -> Iterator[Player]:
    """A key for each role, and an owner for each job."""
    for role in ROLES:
        new = create_key(
            database,
            role.username,
            email=f"{role.username}@gazette.example",
            team=role.team,
            kind=role.kind,
            job=role.bound_job,
        )
        yield Player(role, new.info.actor.id, new.text)
    for job, owner in OWNERS.items():
        set_job(database, job, owner=owner)
