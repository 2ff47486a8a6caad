"""Carries items off the caller's thread to where they are delivered, in batches.

Bounded: what finds no room is dropped and counted. The thread begins with the first item. A child
made by fork begins anew with nothing, since what was waiting is its parent's to deliver.
"""

from __future__ import annotations

import atexit
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar
from weakref import WeakSet

from byline.runtime.quiet import warn_once

Item = TypeVar("Item")
EXIT_WAIT_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class OutboxOptions:
    capacity: int = 4096
    max_batch: int = 500
    gather_s: float = 0.2
    """How long a batch waits for company."""
    first_retry_s: float = 0.5
    longest_retry_s: float = 30.0


@dataclass(slots=True)
class OutboxCounters:
    delivered: int = 0
    dropped: int = 0
    failures: int = 0
    """Deliveries that failed and were tried again."""


class Undeliverable(Exception):
    """These items will never be taken: drop them. The text is for the log, once."""


class Outbox(Generic[Item]):
    """`deliver` runs on the outbox's own thread. Whatever it raises is a failure to be tried again,
    Undeliverable apart."""

    def __init__(
        self, name: str, deliver: Callable[[Sequence[Item]], None], options: OutboxOptions | None = None
    ) -> None:
        self._name = name
        self._deliver = deliver
        self._options = options or OutboxOptions()
        self._begin()
        _all.add(self)

    def _begin(self) -> None:
        self.counters = OutboxCounters()
        self._waiting: deque[Item] = deque()
        self._in_hand = 0
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._hurry = False
        self._closed = False

    def put(self, item: Item) -> bool:
        """False where it was dropped. Never blocks for longer than another `put` takes."""
        with self._changed:
            if self._closed or len(self._waiting) >= self._options.capacity:
                self.counters.dropped += 1
                return False
            self._waiting.append(item)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name=f"byline-{self._name}", daemon=True)
                self._thread.start()
            elif len(self._waiting) == 1:
                self._changed.notify_all()
        return True

    def flush(self, timeout_s: float) -> bool:
        """Waits until all is delivered or dropped; False if that takes longer."""
        with self._changed:
            self._hurry = True
            self._changed.notify_all()
            return self._changed.wait_for(lambda: not self._waiting and not self._in_hand, timeout_s)

    def close(self, timeout_s: float = EXIT_WAIT_S) -> None:
        """Delivers what it can in that time; the rest counts as dropped."""
        self.flush(timeout_s)
        with self._changed:
            self._closed = True
            self.counters.dropped += len(self._waiting)
            self._waiting.clear()
            self._changed.notify_all()

    def _run(self) -> None:
        pause_s = self._options.first_retry_s
        while (batch := self._next()) is not None:
            while batch and not self._try(batch):
                if not self._wait_to_retry(pause_s):
                    return
                pause_s = min(pause_s * 2, self._options.longest_retry_s)
            pause_s = self._options.first_retry_s
            with self._changed:
                self._in_hand = 0
                self._changed.notify_all()

    def _next(self) -> list[Item] | None:
        """The next batch, gathered for a moment; None once closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closed)
            if not self._hurry and len(self._waiting) < self._options.max_batch:
                self._changed.wait_for(lambda: self._hurry or self._closed, self._options.gather_s)
            if self._closed and not self._waiting:
                return None
            count = min(len(self._waiting), self._options.max_batch)
            self._in_hand = count
            self._hurry = False
            return [self._waiting.popleft() for _ in range(count)]

    def _try(self, batch: Sequence[Item]) -> bool:
        try:
            self._deliver(batch)
        except Undeliverable as error:
            warn_once(f"byline: {self._name} dropped: {error}")
            self.counters.dropped += len(batch)
        except Exception as error:  # noqa: BLE001 - tried again, whatever it was
            warn_once(f"byline: {self._name} can't be delivered now ({type(error).__name__}); trying again")
            self.counters.failures += 1
            return False
        else:
            self.counters.delivered += len(batch)
        return True

    def _wait_to_retry(self, pause_s: float) -> bool:
        deadline = time.monotonic() + pause_s
        with self._changed:
            self._changed.wait_for(lambda: self._closed, max(deadline - time.monotonic(), 0))
            return not self._closed


_all: WeakSet[Outbox[Any]] = WeakSet()


def _close_all() -> None:
    deadline = time.monotonic() + EXIT_WAIT_S
    for outbox in list(_all):
        outbox.close(max(deadline - time.monotonic(), 0.0))


def _begin_all_anew() -> None:
    for outbox in list(_all):
        outbox._begin()  # pyright: ignore[reportPrivateUsage] - the same module


atexit.register(_close_all)
os.register_at_fork(after_in_child=_begin_all_anew)
