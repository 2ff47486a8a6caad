"""Byline keys: made, shown once, stored as a hash, expired, revoked and rotated.

A key reads `byl_<key id>_<secret>`. The id is public and stands in rows and messages; the secret
has 256 random bits, so one round of SHA-256 keeps it: there is nothing to guess by dictionary.
"""

from __future__ import annotations

import hashlib
import math
import re
import secrets
import sqlite3
from collections.abc import Iterable

import msgspec

from byline.control.actors import checked_name, put_actor
from byline.control.database import Change, ControlDatabase, Row
from byline.control.ids import KEY_ID_DIGITS, new_key_id
from byline.identity.model import Actor, ActorKind

KEY_PREFIX = b"byl_"
SECRET_CHARS = 43
KEY_CHARS = len(KEY_PREFIX) + KEY_ID_DIGITS + 1 + SECRET_CHARS
KEY_PATTERN = re.compile(rb"byl_[a-z2-7]{%d}_[A-Za-z0-9_-]{%d}" % (KEY_ID_DIGITS, SECRET_CHARS))
"""Finds a key anywhere in a text, so that it can be kept from travelling on."""

_SEPARATOR_AT = len(KEY_PREFIX) + KEY_ID_DIGITS


class UnknownKeyError(LookupError):
    """No key has that id."""

    def __init__(self, key_id: str) -> None:
        super().__init__(f"There is no key {key_id!r}. `byline keys list` shows the key ids.")


class KeyInfo(msgspec.Struct, frozen=True, kw_only=True):
    """What may be shown of a key, to anybody who may list keys."""

    key_id: str
    actor: Actor
    job: str | None
    may_claim_job: bool
    may_claim_user: bool
    created_at: float
    expires_at: float | None
    revoked_at: float | None
    last_used_at: float | None
    replaced_by: str | None = None
    """Key id of the successor, once rotated."""

    def status(self, at: float) -> str:
        if self.revoked_at is not None:
            return "revoked"
        return "expired" if self.expires_at is not None and self.expires_at <= at else "active"


class NewKey(msgspec.Struct, frozen=True):
    """A key just made. `text` is the whole key: show it once, keep it nowhere."""

    info: KeyInfo
    text: str

    def __repr__(self) -> str:
        return f"NewKey({self.info.key_id})"


def split_key(presented: bytes) -> tuple[str, bytes] | None:
    """Key id and secret of a key as a caller presents it; None if it hasn't a key's form."""
    if len(presented) != KEY_CHARS or not presented.startswith(KEY_PREFIX) or presented[_SEPARATOR_AT] != 95:
        return None
    return presented[len(KEY_PREFIX) : _SEPARATOR_AT].decode("latin-1"), presented[_SEPARATOR_AT + 1 :]


def secret_hash(secret: bytes) -> bytes:
    return hashlib.sha256(secret).digest()


def create_key(
    database: ControlDatabase,
    username: str,
    *,
    email: str | None = None,
    team: str | None = None,
    kind: ActorKind | None = None,
    job: str | None = None,
    may_claim_job: bool = True,
    may_claim_user: bool = False,
    expires_at: float | None = None,
) -> NewKey:
    """A new key for that user, who is created or updated by what is given. Raises ValueError."""
    if job is not None:
        checked_name(job, "job")
    with database.change() as change:
        actor = put_actor(change, username, email=email, team=team, kind=kind)
        info = KeyInfo(
            key_id=new_key_id(),
            actor=actor,
            job=job,
            may_claim_job=may_claim_job,
            may_claim_user=may_claim_user,
            created_at=change.at,
            expires_at=expires_at,
            revoked_at=None,
            last_used_at=None,
        )
        return _insert(change, info)


def list_keys(database: ControlDatabase) -> list[KeyInfo]:
    return [_key_info(row) for row in database.rows(f"{_SELECT} ORDER BY keys.created_at, keys.key_id")]


def find_key(database: ControlDatabase, key_id: str) -> KeyInfo:
    """Raises UnknownKeyError."""
    found = database.rows(_SELECT_ONE, (bare_key_id(key_id),))
    if not found:
        raise UnknownKeyError(bare_key_id(key_id))
    return _key_info(found[0])


def revoke_key(database: ControlDatabase, key_id: str) -> KeyInfo:
    """Ends a key now. Revoking it again changes nothing. Raises UnknownKeyError."""
    with database.change() as change:
        info = _find(change.connection, key_id)
        if info.revoked_at is None:
            info = msgspec.structs.replace(info, revoked_at=change.at)
            _update(change, info)
        return info


def rotate_key(database: ControlDatabase, key_id: str, *, grace_s: float = 0.0) -> NewKey:
    """A successor with the same rights and lifetime; the old key ends after `grace_s`.

    Raises UnknownKeyError, and ValueError for a key that has ended: a successor would bring it to life.
    """
    with database.change() as change:
        old = _find(change.connection, key_id)
        if old.status(change.at) != "active":
            raise ValueError(
                f"The key {old.key_id} is {old.status(change.at)}. Make a new one with `byline keys create`."
            )
        if old.replaced_by is not None:
            raise ValueError(
                f"The key {old.key_id} was rotated already. Rotate its successor {old.replaced_by}."
            )
        successor = _successor(old, change.at)
        _update(change, _retired(old, at=change.at, grace_s=grace_s, replaced_by=successor.key_id))
        return _insert(change, successor)


def note_last_uses(connection: sqlite3.Connection, uses: Iterable[tuple[str, float]]) -> None:
    """Later uses win whatever the order in which workers write theirs."""
    connection.executemany(
        "UPDATE keys SET last_used_at = max(coalesce(last_used_at, 0), ?2) WHERE key_id = ?1", uses
    )


def _successor(old: KeyInfo, at: float) -> KeyInfo:
    expires_at = None if old.expires_at is None else at + (old.expires_at - old.created_at)
    return msgspec.structs.replace(
        old, key_id=new_key_id(), created_at=at, expires_at=expires_at, last_used_at=None
    )


def _retired(old: KeyInfo, *, at: float, grace_s: float, replaced_by: str) -> KeyInfo:
    if grace_s <= 0:
        return msgspec.structs.replace(old, revoked_at=at, replaced_by=replaced_by)
    expires_at = min(old.expires_at or math.inf, at + grace_s)
    return msgspec.structs.replace(old, expires_at=expires_at, replaced_by=replaced_by)


def _update(change: Change, info: KeyInfo) -> None:
    change.connection.execute(
        "UPDATE keys SET expires_at = ?, revoked_at = ?, replaced_by = ?, change = ? WHERE key_id = ?",
        (info.expires_at, info.revoked_at, info.replaced_by, change.number, info.key_id),
    )


def _insert(change: Change, info: KeyInfo) -> NewKey:
    secret = secrets.token_urlsafe(32)
    change.connection.execute(
        "INSERT INTO keys VALUES (?, ?, ?, ?, ?, ?, ?, ?, NULL, NULL, NULL, ?)",
        (
            info.key_id,
            secret_hash(secret.encode("ascii")),
            info.actor.id,
            info.job,
            info.may_claim_job,
            info.may_claim_user,
            info.created_at,
            info.expires_at,
            change.number,
        ),
    )
    return NewKey(info, f"{KEY_PREFIX.decode('ascii')}{info.key_id}_{secret}")


_SELECT = """
    SELECT key_id, job, may_claim_job, may_claim_user, keys.created_at, expires_at, revoked_at, last_used_at,
           replaced_by, actors.id, actors.username, actors.email, actors.team, actors.kind
    FROM keys JOIN actors ON actors.id = keys.actor_id
"""


_SELECT_ONE = f"{_SELECT} WHERE key_id = ?"


def _find(connection: sqlite3.Connection, key_id: str) -> KeyInfo:
    found = connection.execute(_SELECT_ONE, (bare_key_id(key_id),)).fetchone()
    if found is None:
        raise UnknownKeyError(bare_key_id(key_id))
    return _key_info(found)


def bare_key_id(text: str) -> str:
    """Of an id as rows or keys have it, and of a whole key, whose secret must not be shown again."""
    prefix = KEY_PREFIX.decode("ascii")
    return text.removeprefix(prefix).partition("_")[0] if text.startswith(prefix) else text


def _key_info(row: Row) -> KeyInfo:
    return KeyInfo(
        key_id=row[0],
        job=row[1],
        may_claim_job=bool(row[2]),
        may_claim_user=bool(row[3]),
        created_at=row[4],
        expires_at=row[5],
        revoked_at=row[6],
        last_used_at=row[7],
        replaced_by=row[8],
        actor=Actor(*row[9:14]),
    )
