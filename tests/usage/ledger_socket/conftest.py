from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from byline.usage.ledger import ExportQuery, Progress, Report, RequestsQuery, SqlLimits, Table, UsageQuery
from byline.usage.ledger_socket.server import LedgerServer


class ScriptedLedger:
    """Answers every question by the function it was given."""

    def __init__(self, answer: Callable[[Any], Table]) -> None:
        self.answer = answer
        self.asked: list[Any] = []

    def report(self, query: Report) -> Table:
        self.asked.append(query)
        return self.answer(query)

    def usage(self, query: UsageQuery) -> Table:
        return self.report(query)

    def requests(self, query: RequestsQuery) -> Table:
        return self.report(query)

    def sql(self, text: str, limits: SqlLimits) -> Table:
        self.asked.append((text, limits))
        return self.answer(text)

    def export(self, query: ExportQuery, progress: Progress | None = None) -> Path:
        self.asked.append(query)
        if progress:
            progress(0.5)
        return Path("/outbox/file.parquet")

    def backup(self, target: Path, progress: Progress | None = None) -> None:
        self.asked.append(target)

    def close(self) -> None:
        pass


Serve = Callable[[Callable[[Any], Table]], ScriptedLedger]


@pytest.fixture
def socket_path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.sock"


@pytest.fixture
def serve(socket_path: Path) -> Iterator[Serve]:
    servers: list[LedgerServer] = []

    def start(answer: Callable[[Any], Table]) -> ScriptedLedger:
        ledger = ScriptedLedger(answer)
        servers.append(LedgerServer(socket_path, ledger))
        return ledger

    yield start
    for server in servers:
        server.close()
