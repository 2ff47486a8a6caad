"""The open database: one writer at a time, readers beside it, and a fresh start when DuckDB gives up.

After a failed checkpoint (a full disk) DuckDB refuses everything until the file is opened anew. What was
committed is on the disk, so opening anew is all there is to do.

Every 16 MB of log (some 20,000 rows) DuckDB checkpoints as part of a commit, for a few tenths of a second;
every 100,000 rows or so it also joins small row groups, which takes one or two. Inserts wait for that,
readers don't.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress

import duckdb

from byline.stores.duckdb.connection import DuckDBOptions, connect, unavailable
from byline.usage.ledger import LedgerUnavailable

Prepare = Callable[[duckdb.DuckDBPyConnection], None]


class Database:
    """Safe to use from several threads."""

    def __init__(self, options: DuckDBOptions, prepare: Prepare) -> None:
        """`prepare` runs on each newly opened connection. Raises LedgerUnavailable."""
        self._options, self._prepare = options, prepare
        self._lock = threading.RLock()
        self._connection = self._opened()
        self._is_given_up = False
        self._is_closed = False

    def cursor(self) -> duckdb.DuckDBPyConnection:
        """For one reader, who closes it. Raises LedgerUnavailable."""
        if self._is_given_up:
            with self._lock:
                self._reopen()
        with unavailable():
            return self._connection.cursor()

    @contextmanager
    def writing(self) -> Generator[duckdb.DuckDBPyConnection]:
        """The one connection that writes, for as long as nobody else does."""
        with self._lock, self.watched():
            self._reopen()
            yield self._connection

    @contextmanager
    def watched(self) -> Generator[None]:
        """Notes whether DuckDB gives up meanwhile."""
        try:
            yield
        except Exception as error:
            if isinstance(error, duckdb.FatalException) or isinstance(error.__cause__, duckdb.FatalException):
                self._is_given_up = True
            raise

    def close(self) -> None:
        with self._lock:
            self._is_closed = True
            self._connection.close()

    def _reopen(self) -> None:
        if self._is_closed:
            raise LedgerUnavailable("the ledger is closed")
        if self._is_given_up:
            with suppress(duckdb.Error):
                self._connection.close()
            self._connection = self._opened()
            self._is_given_up = False

    def _opened(self) -> duckdb.DuckDBPyConnection:
        connection = connect(self._options)
        try:
            with unavailable():
                self._prepare(connection)
        except BaseException:
            connection.close()
            raise
        return connection
