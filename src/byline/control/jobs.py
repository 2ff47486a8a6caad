"""Jobs and their owners: whom to ping about a named unit of work."""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatchcase

import msgspec

from byline.control.actors import ACTOR_COLUMNS, checked_name, put_actor
from byline.control.database import ControlDatabase, Row
from byline.identity.model import Actor

_WILDCARDS = frozenset("*?[")


class Job(msgspec.Struct, frozen=True):
    """A job's name, or a pattern such as `nightly-*` that stands for many."""

    name: str
    owner: Actor
    description: str | None = None

    @property
    def is_pattern(self) -> bool:
        return not _WILDCARDS.isdisjoint(self.name)


class JobOwners:
    """Answers whose job a name is: an exact name beats patterns, a longer pattern a shorter one."""

    def __init__(self, jobs: Iterable[Job]) -> None:
        jobs = list(jobs)
        self._exact = {job.name: job for job in jobs}
        patterns = [job for job in jobs if job.is_pattern]
        self._patterns = sorted(patterns, key=lambda job: (-len(job.name), job.name))

    def find(self, name: str) -> Job | None:
        exact = self._exact.get(name)
        if exact is not None:
            return exact
        return next((job for job in self._patterns if fnmatchcase(name, job.name)), None)


def set_job(database: ControlDatabase, name: str, *, owner: str, description: str | None = None) -> Job:
    """Gives the job that owner. An unknown owner becomes an actor without keys. Raises ValueError."""
    checked_name(name, "job")
    with database.change() as change:
        actor = put_actor(change, owner)
        change.connection.execute(
            """
            INSERT INTO jobs VALUES (?1, ?2, ?3, ?4, ?4, ?5)
            ON CONFLICT (name) DO UPDATE
            SET owner_id = ?2, description = coalesce(?3, description), updated_at = ?4, change = ?5
            """,
            (name, actor.id, description, change.at, change.number),
        )
        kept = change.connection.execute("SELECT description FROM jobs WHERE name = ?", (name,)).fetchone()[0]
    return Job(name, actor, kept)


def list_jobs(database: ControlDatabase) -> list[Job]:
    return [job_from_row(row) for row in database.rows(f"{SELECT_JOBS} ORDER BY jobs.name")]


def owner_of(database: ControlDatabase, name: str) -> Actor | None:
    job = JobOwners(list_jobs(database)).find(name)
    return job.owner if job else None


SELECT_JOBS = (
    f"SELECT jobs.name, jobs.description, {ACTOR_COLUMNS}"  # noqa: S608
    " FROM jobs JOIN actors ON actors.id = jobs.owner_id"
)


def job_from_row(row: Row) -> Job:
    return Job(row[0], Actor(*row[2:]), row[1])
