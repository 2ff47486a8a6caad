"""Files made from the ledger: exports of rows, and backups of the whole.

Neither loads rows: DuckDB writes an export itself, and a backup copies the database's blocks.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Generator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import BinaryIO, Final

import duckdb

from byline.stores.duckdb.connection import MEBIBYTE, DuckDBOptions, query_errors
from byline.stores.duckdb.dialect import DuckDBDialect, quoted
from byline.usage.columns import USAGE_COLUMNS
from byline.usage.ledger import ExportQuery, LedgerUnavailable, Progress
from byline.usage.reports.plan import plan_selection

_PROGRESS_INTERVAL_S: Final = 0.25
_PIECE: Final = 8 * MEBIBYTE
_FORMATS: Final = {
    "parquet": "FORMAT parquet, COMPRESSION zstd",
    "csv": "FORMAT csv, HEADER",
}


def export(
    cursor: duckdb.DuckDBPyConnection,
    query: ExportQuery,
    outbox: Path,
    now: datetime,
    progress: Progress | None = None,
) -> Path:
    """Writes the rows, in the order they were recorded, to a new file in `outbox`. Closes the cursor."""
    conditions, parameters = plan_selection(query, DuckDBDialect(), now)
    path = outbox.resolve() / f"{secrets.token_hex(8)}.{query.format}"
    columns = ", ".join(_exported(name, query.format) for name in USAGE_COLUMNS)
    target = str(path).replace("'", "''")
    statement = (
        f"COPY (SELECT {columns} FROM {DuckDBDialect.usage_table} WHERE {conditions}) "  # noqa: S608 - values are bound
        f"TO '{target}' ({_FORMATS[query.format]})"
    )
    try:
        with query_errors(), _reporting(cursor, progress):
            cursor.execute(statement, parameters)
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    finally:
        cursor.close()
    return path


def _exported(name: str, file_format: str) -> str:
    """In CSV as everywhere else in Byline: times in ISO 8601 UTC, money without trailing zeros."""
    kind = USAGE_COLUMNS[name]
    if file_format == "csv" and kind == "time":
        return f"strftime({quoted(name)}, '%Y-%m-%dT%H:%M:%S.%fZ') AS {quoted(name)}"
    if file_format == "csv" and kind == "money":
        return f"rtrim(rtrim({quoted(name)}::VARCHAR, '0'), '.') AS {quoted(name)}"
    return quoted(name)


@contextmanager
def _reporting(cursor: duckdb.DuckDBPyConnection, progress: Progress | None) -> Generator[None]:
    if not progress:
        yield
        return
    cursor.execute("SET enable_progress_bar = true")
    cursor.execute("SET enable_progress_bar_print = false")
    done = threading.Event()

    def report() -> None:
        while not done.wait(_PROGRESS_INTERVAL_S):
            progress(max(cursor.query_progress(), 0.0) / 100)

    thread = threading.Thread(target=report, name="export-progress", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def backup(
    connection: duckdb.DuckDBPyConnection,
    options: DuckDBOptions,
    target: Path,
    progress: Progress | None = None,
) -> None:
    """Copies the database to `target`. The caller keeps writers out, so the file and its log agree."""
    if target.exists():
        raise LedgerUnavailable(f"{target} exists already: name a new file")
    connection.execute("CHECKPOINT")
    partial = target.with_name(target.name + ".partial")
    try:
        _copy(options.path, partial, progress)
        _fold_in_log(options, partial)
        partial.rename(target)
    except OSError as error:
        _discard(partial)
        raise LedgerUnavailable(f"can't write {target}: {error.strerror or error}") from error
    except BaseException:
        _discard(partial)
        raise


def _discard(partial: Path) -> None:
    for file in (partial, partial.with_name(partial.name + ".wal")):
        with suppress(OSError):
            file.unlink()


def _fold_in_log(options: DuckDBOptions, copied: Path) -> None:
    """Entries that the checkpoint left in the log (a reader held them back) go into the copy."""
    log, copied_log = (path.with_name(path.name + ".wal") for path in (options.path, copied))
    if log.exists() and log.stat().st_size:
        _copy(log, copied_log, None)
    # Opening replays the log; it also proves that the copy can be opened.
    with duckdb.connect(str(copied)) as opened:
        opened.execute("SELECT count(*) FROM store.migrations").fetchone()
    copied_log.unlink(missing_ok=True)


def _copy(source: Path, target: Path, progress: Progress | None) -> None:
    size = max(source.stat().st_size, 1)
    with source.open("rb") as read, _created_private(target) as written:
        while piece := read.read(_PIECE):
            written.write(piece)
            if progress:
                progress(written.tell() / size)


def _created_private(path: Path) -> BinaryIO:
    path.touch(mode=0o600, exist_ok=False)
    return path.open("wb")
