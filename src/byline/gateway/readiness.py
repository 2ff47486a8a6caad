"""Whether this worker can serve, and what about it is degraded."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from byline.gateway.local_routes import Readiness


class JournalState(Protocol):
    def accepts(self) -> bool: ...
    def trouble(self) -> object | None: ...


class DirectoryState(Protocol):
    problem: str | None

    def is_stale(self) -> bool: ...


class WorkerReadiness:
    """503 only where requests would be refused: starting, stopping, `fail_closed`, keys too stale."""

    def __init__(
        self, journal: JournalState, directory: DirectoryState, further: Callable[[], list[str]] = list[str]
    ) -> None:
        self._journal = journal
        self._directory = directory
        self._further = further

    def __call__(self) -> Readiness:
        degraded = self._further()
        if self._journal.trouble() is not None:
            degraded.append("the journal can't be written")
        if self._directory.problem is not None:
            degraded.append("the control database can't be read")
        ready = self._journal.accepts() and not self._directory.is_stale()
        return Readiness(ready, degraded)
