"""Opens the database file and takes from it all it could do beyond that file.

DuckDB lets one process at a time open a file, readers included. External access is off for the whole
instance and the configuration is locked, so neither user SQL nor a defect of ours reaches other files:
only the outbox, where exports are written, stays open.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import duckdb
import msgspec

from byline.usage.ledger import LedgerUnavailable, QueryError

MEBIBYTE: Final = 1024 * 1024
_LATE_ROWS: Final = 10_000


class DuckDBOptions(msgspec.Struct, frozen=True, kw_only=True):
    path: Path
    memory_limit: int = 512 * MEBIBYTE
    threads: int = 2
    max_temp_bytes: int = 4096 * MEBIBYTE
    """How much a large query may spill beside the database; the journal needs the disk more."""

    @property
    def outbox(self) -> Path:
        """The one directory that exports may be written to."""
        return self.path.with_suffix(".outbox")

    @property
    def temp_directory(self) -> Path:
        return self.path.with_suffix(".tmp")


def connect(options: DuckDBOptions) -> duckdb.DuckDBPyConnection:
    """Raises LedgerUnavailable when another process has the file, or it can't be read."""
    options.path.parent.mkdir(parents=True, exist_ok=True)
    options.outbox.mkdir(mode=0o700, exist_ok=True)
    with unavailable():
        connection = duckdb.connect(str(options.path), config=_config(options))
        outbox = str(options.outbox.resolve()).replace("'", "''")
        connection.execute(f"SET allowed_directories = ['{outbox}']")
        connection.execute("SET GLOBAL TimeZone = 'UTC'")
        connection.execute("SET enable_external_access = false")
        connection.execute("SET lock_configuration = true")
    # Only now is nobody else at work in there.
    for left_behind in options.outbox.iterdir():
        left_behind.unlink()
    options.path.chmod(0o600)
    return connection


def _config(options: DuckDBOptions) -> dict[str, str | bool | int | float | list[str]]:
    return {
        "memory_limit": f"{options.memory_limit}B",
        "threads": options.threads,
        "temp_directory": str(options.temp_directory),
        "max_temp_directory_size": f"{options.max_temp_bytes}B",
        "autoinstall_known_extensions": False,
        "autoload_known_extensions": False,
        "allow_community_extensions": False,
        "python_enable_replacements": False,
        # It packs short texts into 128-bit integers before they are grouped, which then no longer come as
        # the few entries of a dictionary: groups of users and jobs take a sixth longer.
        "disabled_optimizers": "compressed_materialization",
        # Up to so many rows DuckDB finds what to show before it reads their many columns.
        "late_materialization_max_rows": _LATE_ROWS,
        # Exports switch their own progress on; the rest of the configuration is locked.
        "allowed_configs": ["enable_progress_bar", "enable_progress_bar_print"],
    }


@contextmanager
def unavailable() -> Generator[None]:
    """Work that must be tried again when it fails: whatever DuckDB says, the rows stay where they are."""
    try:
        yield
    except duckdb.Error as error:
        raise LedgerUnavailable(f"the ledger refused the work: {first_line(error)}") from error


@contextmanager
def insert_errors() -> Generator[None]:
    """Rows that a table will never take are a ValueError; everything else is worth another try."""
    try:
        yield
    except (duckdb.DataError, duckdb.IntegrityError) as error:
        raise ValueError(first_line(error)) from error
    except duckdb.Error as error:
        raise LedgerUnavailable(f"the ledger refused the work: {first_line(error)}") from error


@contextmanager
def query_errors() -> Generator[None]:
    """Questions: what is wrong with the question is a QueryError, the rest LedgerUnavailable."""
    try:
        yield
    except (duckdb.OperationalError, duckdb.InternalError, duckdb.FatalException) as error:
        raise LedgerUnavailable(f"the ledger refused the work: {first_line(error)}") from error
    except duckdb.Error as error:
        raise QueryError(str(error)) from error


def first_line(error: Exception) -> str:
    """DuckDB appends the statement and a stack to some messages."""
    return str(error).partition("\n")[0]
