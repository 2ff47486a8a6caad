"""A turn-by-turn event loop on a clock of its own, and rows to write."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from byline.usage.journal import JournalOptions, JournalWriter
from byline.usage.record import UsageRecord

Callback = Callable[[], object]


class SteppedLoop:
    """What a writer needs of an event loop; time passes only by `advance`."""

    def __init__(self) -> None:
        self.time = 1_000.0
        self._ready: deque[Callback] = deque()
        self._timers: list[tuple[float, int, Callback]] = []

    def now(self) -> float:
        return self.time

    def call_soon(self, callback: Callback) -> None:
        self._ready.append(callback)

    def call_later(self, delay: float, callback: Callback) -> None:
        heapq.heappush(self._timers, (self.time + delay, id(callback), callback))

    def turn(self) -> None:
        """Everything that is ready, and whatever that makes ready."""
        while self._ready:
            self._ready.popleft()()

    def advance(self, seconds: float) -> None:
        self.turn()
        end = self.time + seconds
        while self._timers and self._timers[0][0] <= end:
            self.time, _, callback = heapq.heappop(self._timers)
            callback()
            self.turn()
        self.time = end


@pytest.fixture
def loop() -> SteppedLoop:
    return SteppedLoop()


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    return tmp_path / "journal"


OpenWriter = Callable[..., JournalWriter]


@pytest.fixture
def open_writer(journal: Path, loop: SteppedLoop) -> Iterator[OpenWriter]:
    """Opens writers in the journal directory; closes them at the end."""
    opened: list[JournalWriter] = []

    def open_one(writer: str = "w", directory: Path = journal, **options: object) -> JournalWriter:
        opened.append(
            JournalWriter(
                directory,
                writer,
                call_soon=loop.call_soon,
                call_later=loop.call_later,
                now=loop.now,
                options=JournalOptions(**options),  # type: ignore[arg-type]
            )
        )
        return opened[-1]

    yield open_one
    for writer in opened:
        writer.close()


@pytest.fixture
def make_record() -> Callable[..., UsageRecord]:
    def make(request_id: str, **columns: object) -> UsageRecord:
        filled: dict[str, object] = {
            "exchange_id": f"x-{request_id}",
            "started_at": datetime(2026, 11, 1, 12, tzinfo=UTC),
            "provider": "anthropic",
            "api": "messages",
            "user": "ada",
            **columns,
        }
        return UsageRecord(request_id=request_id, **filled)  # type: ignore[arg-type]

    return make


@pytest.fixture
def ended(make_record: Callable[..., UsageRecord]) -> Callable[..., UsageRecord]:
    def make(request_id: str, **columns: object) -> UsageRecord:
        filled: dict[str, object] = {
            "outcome": "ok",
            "ended_at": datetime(2026, 11, 1, 12, 0, 1, tzinfo=UTC),
            "output_tokens": 7,
            **columns,
        }
        return make_record(request_id, **filled)

    return make
