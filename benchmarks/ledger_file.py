"""The DuckDB file of a stopped gateway, read without Byline's own code; and its lock, taken away."""

from __future__ import annotations

import fcntl
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import duckdb

from benchmarks.verdict import MarkedRow

MARKED_ROWS = """
select coalesce(regexp_extract(client_metadata_user_id, 'marker=([0-9a-f]{16})', 1), ''), outcome, request_id
from api_usage
"""


def marked_rows(path: Path) -> list[MarkedRow]:
    with duckdb.connect(str(path), read_only=True) as connection:
        return [MarkedRow(*map(str, row)) for row in connection.execute(MARKED_ROWS).fetchall()]


@contextmanager
def locked(path: Path) -> Generator[None]:
    """Holds the lock that DuckDB itself takes, so that whoever opens the file is told it is in use.

    Waits for the present holder to go: a waiting `fcntl` lock is granted before a later one.
    """
    with path.open("rb+") as file:
        fcntl.lockf(file, fcntl.LOCK_EX)
        yield
