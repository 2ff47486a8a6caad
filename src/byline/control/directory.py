"""The keys, actors and jobs as one worker knows them: a snapshot in memory, kept fresh by polling.

Serving never waits for the control database and never fails with it: while it can't be read, what
is known goes on serving until it is `max_stale_s` old.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path

import msgspec

from byline.control.actors import ACTOR_COLUMNS
from byline.control.database import Row, connect
from byline.control.jobs import SELECT_JOBS, Job, JobOwners, job_from_row
from byline.control.keys import note_last_uses
from byline.identity.model import Actor, Grant


class StoredKey(msgspec.Struct, frozen=True):
    """What deciding about a presented key takes."""

    secret_hash: bytes
    grant: Grant
    expires_at: float | None
    revoked_at: float | None

    def __repr__(self) -> str:
        return f"StoredKey({self.grant.key_id})"


class _Snapshot(msgspec.Struct, frozen=True):
    counter: int
    """The change counter it was read at."""
    keys: Mapping[str, StoredKey]
    actors: Mapping[str, Actor]
    """By username."""
    jobs: JobOwners


_EMPTY = _Snapshot(counter=-1, keys={}, actors={}, jobs=JobOwners(()))


class KeyDirectory:
    """Not for several threads at once, save `flush_uses`, which may run in one of its own."""

    def __init__(
        self, path: Path, *, max_stale_s: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._path = path
        self._max_stale_s = max_stale_s
        self._clock = clock
        self._connection: sqlite3.Connection | None = None
        self._file_id: tuple[int, int] | None = None
        self._data_version: int | None = None
        self._snapshot = _EMPTY
        self._reload_whole = True
        self._stale_at = float("-inf")
        self._generation = 0
        self._uses: dict[str, float] = {}
        self.problem: str | None = None
        """Why the last look at the database failed; None while all is well."""

    def refresh_if_changed(self) -> bool:
        """True if the snapshot is a new one. Never raises and never waits for a lock."""
        try:
            changed = self._refresh()
        except (OSError, sqlite3.Error, msgspec.MsgspecError, ValueError, TypeError) as error:
            self.problem = f"the control database {self._path.name} can't be read ({_reason(error)})"
            self._disconnect()
            return False
        self.problem = None
        self._stale_at = self._clock() + self._max_stale_s
        self._generation += changed
        return changed

    def is_stale(self) -> bool:
        """True when the snapshot is too old to decide by, or there never was one."""
        return self._clock() > self._stale_at

    def use(self, key_id: str, generation: int, at: float) -> bool:
        """Whether what was concluded of the key in that generation may be acted on; if so, its use is recorded."""
        clock = self._clock
        if generation != self._generation or clock() > self._stale_at:
            return False
        self._uses[key_id] = at
        return True

    @property
    def generation(self) -> int:
        """Rises with every new snapshot: what was concluded from an older one may be wrong."""
        return self._generation

    def expiry(self, key_id: str) -> float | None:
        stored = self._snapshot.keys.get(key_id)
        return None if stored is None else stored.expires_at

    def lookup(self, key_id: str) -> StoredKey | None:
        return self._snapshot.keys.get(key_id)

    def actor_by_username(self, username: str) -> Actor | None:
        return self._snapshot.actors.get(username)

    def job(self, name: str) -> Job | None:
        """The job of that name, or the pattern that covers it; its owner is whom to ask."""
        return self._snapshot.jobs.find(name)

    def record_use(self, key_id: str, at: float) -> None:
        self._uses[key_id] = at

    def flush_uses(self) -> int:
        """Writes when keys were last used and says how many; what can't be written is kept for later.

        Waits for locks and, once in a while, for the disk: call it from a thread of its own.
        """
        uses, self._uses = self._uses, {}
        if not uses:
            return 0
        try:
            with closing(connect(self._path, busy_timeout_s=1.0)) as connection:
                connection.execute("PRAGMA synchronous = NORMAL")  # losing a note of use harms nobody
                connection.execute("BEGIN IMMEDIATE")
                note_last_uses(connection, list(uses.items()))
                connection.execute("COMMIT")
        except sqlite3.Error:
            self._uses = uses | self._uses
            return 0
        return len(uses)

    def close(self) -> None:
        self.flush_uses()
        self._disconnect()

    def _refresh(self) -> bool:
        connection = self._connected()
        data_version = connection.execute("PRAGMA data_version").fetchone()[0]
        if data_version == self._data_version:
            return False
        known = _EMPTY if self._reload_whole else self._snapshot
        snapshot = _read_news(connection, known)
        changed = snapshot is not self._snapshot
        self._snapshot, self._data_version, self._reload_whole = snapshot, data_version, False
        return changed

    def _connected(self) -> sqlite3.Connection:
        # A deleted or restored file would else go unnoticed: the old one stays readable while open.
        status = os.stat(self._path)  # noqa: PTH116  (a third of the cost of Path.stat, every poll)
        file_id = (status.st_dev, status.st_ino)
        if self._connection is None or file_id != self._file_id:
            self._disconnect()
            self._connection = connect(self._path, busy_timeout_s=0)
            self._connection.execute("PRAGMA query_only = ON")
            self._file_id = file_id
        return self._connection

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._connection = self._data_version = None
        self._reload_whole = True


def _read_news(connection: sqlite3.Connection, known: _Snapshot) -> _Snapshot:
    """`known` itself if nothing changed, else a snapshot with what did."""
    # One read transaction, so that the counter and the rows belong together.
    connection.execute("BEGIN")
    try:
        found = connection.execute("SELECT value FROM meta WHERE name = 'change_counter'").fetchone()
        if found is None:
            raise ValueError("it has no change counter")
        counter = int(found[0])
        if counter == known.counter:
            return known
        # A lower counter means that the content was restored from elsewhere.
        base = known if counter > known.counter else _EMPTY
        return _Snapshot(
            counter=counter,
            keys={**base.keys, **_changed_keys(connection, base.counter)},
            actors={**base.actors, **_changed_actors(connection, base.counter)},
            jobs=_job_owners(connection, base),
        )
    finally:
        connection.execute("ROLLBACK")


_SELECT_KEYS = (
    "SELECT key_id, secret_hash, expires_at, revoked_at, job, may_claim_job, may_claim_user,"  # noqa: S608
    f" {ACTOR_COLUMNS} FROM keys JOIN actors ON actors.id = keys.actor_id"
)


def _changed_keys(connection: sqlite3.Connection, since: int) -> dict[str, StoredKey]:
    # Two queries, each by its index: one with OR would scan every key.
    rows = [
        *connection.execute(f"{_SELECT_KEYS} WHERE keys.change > ?", (since,)),
        *connection.execute(f"{_SELECT_KEYS} WHERE actors.change > ?1 AND +keys.change <= ?1", (since,)),
    ]
    return {row[0]: _stored_key(row) for row in rows}


def _stored_key(row: Row) -> StoredKey:
    grant = Grant(
        actor=Actor(*row[7:]),
        auth_source="key",
        key_id=row[0],
        bound_job=row[4],
        may_claim_job=bool(row[5]),
        may_claim_user=bool(row[6]),
    )
    return StoredKey(secret_hash=bytes(row[1]), grant=grant, expires_at=row[2], revoked_at=row[3])


def _changed_actors(connection: sqlite3.Connection, since: int) -> dict[str, Actor]:
    rows = connection.execute(f"SELECT {ACTOR_COLUMNS} FROM actors WHERE change > ?", (since,))  # noqa: S608
    return {row[1]: Actor(*row) for row in rows}


def _job_owners(connection: sqlite3.Connection, base: _Snapshot) -> JobOwners:
    since = (base.counter,)
    jobs_changed = connection.execute("SELECT 1 FROM jobs WHERE change > ? LIMIT 1", since).fetchone()
    owners_changed = connection.execute("SELECT 1 FROM actors WHERE change > ? LIMIT 1", since).fetchone()
    if jobs_changed is None and owners_changed is None:
        return base.jobs
    return JobOwners(map(job_from_row, connection.execute(SELECT_JOBS)))


def _reason(error: Exception) -> str:
    if isinstance(error, OSError):
        return error.strerror or type(error).__name__
    return str(error)
