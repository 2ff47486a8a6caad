"""Asks the ledger process. Every question opens a connection, so a restart in between goes unnoticed."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec

from byline.usage.ledger import (
    ExportQuery,
    LedgerUnavailable,
    Progress,
    Report,
    RepriceQuery,
    RequestsQuery,
    SqlLimits,
    Table,
    UsageQuery,
)
from byline.usage.ledger_socket import frames
from byline.usage.ledger_socket.address import address

_PAUSE_S: Final = 0.05
_PATIENCE_S: Final = 3600.0
"""Exports of years of rows take minutes; a dead server closes the connection at once."""


class LedgerClient:
    """The read side of the Ledger port, answered by another process."""

    def __init__(
        self,
        path: Path,
        *,
        wait_s: float = 5.0,
        now: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """`wait_s`: how long a question waits for a process that restarts."""
        self._path = path
        self._wait_s = wait_s
        self._now, self._sleep = now, sleep

    def is_answered(self) -> bool:
        """Whether a process listens now."""
        try:
            self._connect().close()
        except OSError:
            return False
        return True

    def report(self, query: Report) -> Table:
        return self._table(frames.AskReport(query))

    def usage(self, query: UsageQuery) -> Table:
        return self.report(query)

    def requests(self, query: RequestsQuery) -> Table:
        return self.report(query)

    def sql(self, text: str, limits: SqlLimits) -> Table:
        return self._table(frames.AskSql(text, limits))

    def export(self, query: ExportQuery, progress: Progress | None = None) -> Path:
        _, done = self._ask(frames.AskExport(query), progress)
        assert done.path
        return Path(done.path)

    def backup(self, target: Path, progress: Progress | None = None) -> None:
        self._ask(frames.AskBackup(str(target.absolute())), progress)

    def reprice(
        self, query: RepriceQuery, *, dry_run: bool = False, progress: Progress | None = None
    ) -> Table:
        table, _ = self._ask(frames.AskReprice(query, dry_run), progress)
        return table

    def forget(self, user: str, pseudonym: str) -> int:
        table, _ = self._ask(frames.AskForget(user, pseudonym), None)
        return table.rows[0][0]

    def close(self) -> None:
        """Nothing stays open between questions."""

    def _table(self, question: frames.Question) -> Table:
        table, _ = self._ask(question, None)
        return table

    def _ask(self, question: frames.Question, progress: Progress | None) -> tuple[Table, frames.Done]:
        """Asks until the time is over. A question asked twice does no harm, so one broken off is asked again."""
        deadline = self._now() + self._wait_s
        while True:
            try:
                with self._connect() as stream:
                    frames.send(stream, question)
                    return _answer(stream, progress)
            except msgspec.MsgspecError as error:
                raise LedgerUnavailable(
                    "the ledger process is of another version: restart byline serve"
                ) from error
            except (ConnectionError, FileNotFoundError) as error:
                if self._now() >= deadline:
                    raise LedgerUnavailable(
                        f"no ledger process answers at {self._path} (waited {self._wait_s:g} s)"
                    ) from error
            self._sleep(_PAUSE_S)

    def _connect(self) -> socket.socket:
        stream = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            stream.settimeout(_PATIENCE_S)
            with address(self._path) as name:
                stream.connect(name)
        except BaseException:
            stream.close()
            raise
        return stream


def _answer(stream: socket.socket, progress: Progress | None) -> tuple[Table, frames.Done]:
    table = Table((), [])
    while True:
        match frames.receive_answer(stream):
            case frames.Columns(names):
                table = Table(names, [])
            case frames.Rows() as message:
                table.rows.extend(frames.restored(message))
            case frames.Advanced(share):
                if progress:
                    progress(share)
            case frames.Done() as done:
                return table, done
            case frames.Failed() as failed:
                raise frames.raised(failed)
