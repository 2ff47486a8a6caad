"""Whether the store answers: through the server if one runs, else by opening it for a moment."""

from __future__ import annotations

from byline.assembly.data_dir import DataDir
from byline.assembly.ledger import open_store
from byline.cli.doctor.finding import Finding
from byline.settings import Settings, SettingsError
from byline.usage.data_lock import DataLock
from byline.usage.ledger import LedgerReader, LedgerUnavailable, QueryError, SqlLimits
from byline.usage.ledger_socket.client import LedgerClient


def look(settings: Settings) -> list[Finding]:
    try:
        return [_look(settings, DataDir(settings.data_dir))]
    except (LedgerUnavailable, QueryError, SettingsError) as error:
        remedy = "if a server runs there, see its log; else start one or end what holds the directory"
        return [Finding("ledger", "failed", str(error), remedy)]
    except OSError as error:
        detail = f"{error.filename or settings.data_dir}: {error.strerror or error}"
        return [Finding("ledger", "failed", detail, "correct its owner or mode, or set data_dir")]


def _look(settings: Settings, data_dir: DataDir) -> Finding:
    client = LedgerClient(data_dir.socket, wait_s=0)
    if client.is_answered():
        return Finding("ledger", "ok", f"the server answers: {_count(client)} rows")
    if settings.ledger.engine == "duckdb" and not data_dir.ledger.exists():
        return Finding("ledger", "ok", "made when the first row comes")
    lock = DataLock(data_dir.root / "lock", "byline doctor")
    try:
        store = open_store(settings, data_dir)
        try:
            return Finding("ledger", "ok", f"no server runs; the store opens: {_count(store)} rows")
        finally:
            store.close()
    finally:
        lock.close()


def _count(ledger: LedgerReader) -> str:
    table = ledger.sql("SELECT count(*) FROM api_usage", SqlLimits(timeout_s=10.0))
    return f"{table.rows[0][0]:,}"
