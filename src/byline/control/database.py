"""Opens the control database, brings its schema up to date and counts its changes.

The change counter is what lets other processes notice a change in microseconds: every change of
keys, actors or jobs raises it in the same transaction. Notes of last use don't: they are frequent
and change no decision.
"""

from __future__ import annotations

import errno
import os
import secrets
import sqlite3
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from byline.control.schema import META_TABLE, STEPS

FILE_NAME = "control.sqlite3"
BUSY_TIMEOUT_S = 5.0

Row = tuple[Any, ...]
"""SQLite's own dynamic types; each query's caller knows its columns."""


class ControlDatabaseError(RuntimeError):
    """The control database can't be used. The message names the file and what to do."""


@dataclass(frozen=True, slots=True)
class Change:
    """A transaction under way: `number` is its change counter, to be put on every row it writes."""

    connection: sqlite3.Connection
    number: int
    at: float


class ControlDatabase:
    """One connection for administration: the command line, and the server at its start."""

    def __init__(self, path: Path, connection: sqlite3.Connection, now: Callable[[], float]) -> None:
        self.path = path
        self.now = now
        self._connection = connection

    @contextmanager
    def change(self) -> Generator[Change]:
        """All of what happens inside, with the change counter, or nothing of it."""
        with self.unannounced_change() as connection:
            connection.execute("UPDATE meta SET value = value + 1 WHERE name = 'change_counter'")
            number = connection.execute("SELECT value FROM meta WHERE name = 'change_counter'").fetchone()[0]
            yield Change(connection, number, self.now())

    @contextmanager
    def unannounced_change(self) -> Generator[sqlite3.Connection]:
        """A transaction that other processes need not hear of."""
        with readable_errors(self.path), _transaction(self._connection):
            yield self._connection

    def rows(self, sql: str, parameters: Sequence[object] = ()) -> list[Row]:
        with readable_errors(self.path):
            return self._connection.execute(sql, parameters).fetchall()

    def change_counter(self) -> int:
        return int(self.rows("SELECT value FROM meta WHERE name = 'change_counter'")[0][0])

    def identity_hash_key(self) -> bytes:
        """The key of hashed identifiers where the operator gave none: made once, then kept."""
        with self.unannounced_change() as connection:
            connection.execute(
                "INSERT OR IGNORE INTO meta (name, value) VALUES ('identity_hash_key', ?)",
                (secrets.token_bytes(32),),
            )
        return bytes(self.rows("SELECT value FROM meta WHERE name = 'identity_hash_key'")[0][0])

    def close(self) -> None:
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def open_control(
    path: Path, *, now: Callable[[], float] = time.time, busy_timeout_s: float = BUSY_TIMEOUT_S
) -> ControlDatabase:
    """Creates the file if need be, readable by its owner alone. Raises ControlDatabaseError."""
    with readable_errors(path):
        _create_private_file(path)
        connection = connect(path, busy_timeout_s=busy_timeout_s)
        try:
            _prepare(connection, path)
        except BaseException:
            connection.close()
            raise
    return ControlDatabase(path, connection, now)


def connect(path: Path, *, busy_timeout_s: float) -> sqlite3.Connection:
    """An autocommit connection to a file that exists; never creates one."""
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode=rw",
        uri=True,
        timeout=busy_timeout_s,
        isolation_level=None,
        check_same_thread=False,  # callers take turns, some of them from a worker thread
    )
    connection.execute("PRAGMA foreign_keys = ON")
    return connection


@contextmanager
def readable_errors(path: Path) -> Generator[None]:
    """Says what an operator can do, where SQLite says what it felt."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise ControlDatabaseError(
            f"The control database {path} can't be opened: {reason}. Check `data_dir` and its permissions."
        ) from error
    except sqlite3.IntegrityError:
        raise
    except sqlite3.Error as error:
        raise ControlDatabaseError(_explain(path, error)) from error


def _explain(path: Path, error: sqlite3.Error) -> str:
    text = str(error)
    if "locked" in text:
        return f"The control database {path} is locked by another process. Try again when it has finished."
    if isinstance(error, sqlite3.OperationalError):
        return (
            f"The control database {path} can't be used: {text}. Check `data_dir`, its permissions and space."
        )
    return f"The control database {path} is damaged ({text}). Restore it from a backup."


def _create_private_file(path: Path) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    # SQLite gives its -wal and -shm files the mode of the database file. Never opens a file that is there:
    # closing it would drop the locks of this process's other connections (POSIX), and the next process to
    # close the database would take itself for the last one and delete the log under them.
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))


def _prepare(connection: sqlite3.Connection, path: Path) -> None:
    if connection.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
        connection.execute("PRAGMA journal_mode = WAL")
    if _schema_version(connection) < len(STEPS):
        _bring_up_to_date(connection)
    if _schema_version(connection) > len(STEPS):
        raise ControlDatabaseError(
            f"The control database {path} was made by a newer Byline. Upgrade Byline, or restore a backup."
        )


def _bring_up_to_date(connection: sqlite3.Connection) -> None:
    with _transaction(connection):
        connection.execute(META_TABLE)
        connection.execute("INSERT OR IGNORE INTO meta VALUES ('schema_version', 0), ('change_counter', 0)")
        # Read again: another process may have come first while this one waited for the lock.
        for step in STEPS[_schema_version(connection) :]:
            for statement in step:
                connection.execute(statement)
        connection.execute("UPDATE meta SET value = ? WHERE name = 'schema_version'", (len(STEPS),))


@contextmanager
def _transaction(connection: sqlite3.Connection) -> Generator[None]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:  # a full disk, for one, has rolled back already
            connection.execute("ROLLBACK")
        raise


def _schema_version(connection: sqlite3.Connection) -> int:
    if not connection.execute("SELECT 1 FROM sqlite_schema WHERE name = 'meta'").fetchone():
        return 0
    found = connection.execute("SELECT value FROM meta WHERE name = 'schema_version'").fetchone()
    return int(found[0]) if found else 0
