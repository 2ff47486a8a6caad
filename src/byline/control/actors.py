"""Actors: the people and services that keys stand for."""

from __future__ import annotations

import sqlite3

import msgspec

from byline.control.database import Change, ControlDatabase, Row
from byline.control.ids import new_actor_id
from byline.identity.model import Actor, ActorKind
from byline.identity.text import has_control_characters

MAX_NAME_CHARS = 200
ACTOR_COLUMNS = "actors.id, actors.username, actors.email, actors.team, actors.kind"


def find_actor(database: ControlDatabase, username: str) -> Actor | None:
    found = database.rows(f"SELECT {ACTOR_COLUMNS} FROM actors WHERE username = ?", (username,))  # noqa: S608
    return Actor(*found[0]) if found else None


def list_actors(database: ControlDatabase) -> list[Actor]:
    return [Actor(*row) for row in database.rows(f"SELECT {ACTOR_COLUMNS} FROM actors ORDER BY username")]  # noqa: S608


def put_actor(
    change: Change,
    username: str,
    *,
    email: str | None = None,
    team: str | None = None,
    kind: ActorKind | None = None,
) -> Actor:
    """The actor of that name: created, or updated in what is given."""
    known = _read(change.connection, username)
    if known is None:
        _check(username, email, team)
        actor = Actor(new_actor_id(), username, email, team, kind or "person")
        change.connection.execute(
            "INSERT INTO actors VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (*msgspec.structs.astuple(actor), change.at, change.at, change.number),
        )
        return actor
    wanted = Actor(known.id, username, email or known.email, team or known.team, kind or known.kind)
    if wanted != known:
        _check(username, email, team)
        change.connection.execute(
            "UPDATE actors SET email = ?, team = ?, kind = ?, updated_at = ?, change = ? WHERE id = ?",
            (wanted.email, wanted.team, wanted.kind, change.at, change.number, known.id),
        )
    return wanted


def checked_name(value: str, what: str) -> str:
    """`value`, if people can read it and a terminal, a header and a report can carry it."""
    if not value or value != value.strip():
        raise ValueError(f"The {what} must not be empty, nor begin or end with a space.")
    if len(value) > MAX_NAME_CHARS:
        raise ValueError(f"The {what} has {len(value)} characters; at most {MAX_NAME_CHARS} are allowed.")
    if has_control_characters(value):
        raise ValueError(f"The {what} has control characters or line breaks; leave them out.")
    return value


def _check(username: str, email: str | None, team: str | None) -> None:
    checked_name(username, "user name")
    if team is not None:
        checked_name(team, "team")
    if email is not None:
        name, at_sign, domain = checked_name(email, "email").partition("@")
        if not (name and at_sign and domain) or "@" in domain or any(c.isspace() for c in email):
            raise ValueError(f"{email!r} is not an email address; write it as name@example.com.")


def _read(connection: sqlite3.Connection, username: str) -> Actor | None:
    found: Row | None = connection.execute(
        f"SELECT {ACTOR_COLUMNS} FROM actors WHERE username = ?",  # noqa: S608
        (username,),
    ).fetchone()
    return Actor(*found) if found else None
