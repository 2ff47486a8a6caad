"""Pseudonyms in place of a person, everywhere the ledger knows them. Sums stay what they were.

Sessions and the like become salted digests with a salt that nobody keeps: rows of one session still
belong together, and nothing leads back. A name that somebody else's request claimed goes as well.
"""

from __future__ import annotations

import secrets
from typing import Final

import duckdb

from byline.stores.duckdb.dialect import quoted
from byline.stores.duckdb.schema import DAILY_TABLE, EVENTS_TABLE, USAGE_TABLE, columns_of
from byline.usage.columns import PRIVILEGED_PREFIX

_DIGESTED: Final = (
    "actor_id", "key_id", "session_id", "claude_code_session_id", "agent_id", "parent_agent_id", "prompt_id",
    "device_id", "account_id", "trace_id",
)  # fmt: skip
_REMOVED: Final = (
    "email", "client_metadata_user_id", "claimed_user", "span_id", "parent_span_id",
)  # fmt: skip
_RENAMED: Final = ("identifier", "metadata_user_id")


def forget(connection: duckdb.DuckDBPyConnection, user: str, pseudonym: str) -> int:
    """Returns how many rows of `api_usage` changed, in one transaction."""
    values = {"user": user, "pseudonym": pseudonym, "salt": secrets.token_hex(16)}
    connection.begin()
    try:
        changed = _update(
            connection, USAGE_TABLE, _changes((*_DIGESTED, *_REMOVED, *_RENAMED)), '"user" = $user', values
        )
        changed += _update(
            connection, USAGE_TABLE, '"claimed_user" = $pseudonym', '"claimed_user" = $user', values
        )
        _update(connection, DAILY_TABLE, '"user" = $pseudonym', '"user" = $user', values)
        _update(connection, EVENTS_TABLE, _event_changes(connection), '"user" = $user', values)
    except BaseException:
        connection.rollback()
        raise
    connection.commit()
    return changed


def _changes(columns: tuple[str, ...]) -> str:
    return ", ".join(['"user" = $pseudonym', *(_change(name) for name in columns)])


def _event_changes(connection: duckdb.DuckDBPyConnection) -> str:
    columns = [
        name
        for name in columns_of(connection, EVENTS_TABLE)
        if name in _DIGESTED or name.startswith(PRIVILEGED_PREFIX)
    ]
    return _changes(tuple(columns))


def _change(name: str) -> str:
    column = quoted(name)
    if name in _DIGESTED:
        return f"{column} = if({column} IS NULL, NULL, md5(concat($salt, {column})))"
    if name in _RENAMED:
        return f"{column} = if({column} IS NULL, NULL, $pseudonym)"
    return f"{column} = NULL"


def _update(
    connection: duckdb.DuckDBPyConnection, table: str, changes: str, condition: str, values: dict[str, str]
) -> int:
    """Only the values that occur are bound: DuckDB refuses those that don't."""
    used = {name: value for name, value in values.items() if f"${name}" in f"{changes} {condition}"}
    row = connection.execute(f"UPDATE {table} SET {changes} WHERE {condition}", used).fetchone()  # noqa: S608
    assert row
    return int(row[0])
