"""One sink's own queue and thread: whatever it does, the program and the other sinks go on.

Batches, retries with backoff, counts what is lost. The thread starts with the first item.
"""

from __future__ import annotations

import logging
import random
import time
from _thread import allocate_lock
from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final, Generic, Protocol, TypeVar

import msgspec

from byline.telemetry.counters import Counters, Reason
from byline.telemetry.forks import after_fork_in_child

if TYPE_CHECKING:
    import threading

LONGEST_PAUSE_S: Final = 30.0
_log = logging.getLogger("byline.telemetry")
T = TypeVar("T")
T_contra = TypeVar("T_contra", contravariant=True)


class Undeliverable(Exception):
    """The destination said no for good; trying again is useless."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason: Reason = reason


class TryAgain(Exception):
    """Later it may work; `after_s` is what the destination asked for."""

    def __init__(self, message: str, after_s: float | None = None) -> None:
        super().__init__(message)
        self.after_s = after_s


class BatchSink(Protocol[T_contra]):
    """Raises Undeliverable or TryAgain; any other exception counts as TryAgain.

    May also have `idle()`, called about every interval, and `close(deadline)`, called in its thread.
    """

    @property
    def name(self) -> str: ...
    @property
    def counters(self) -> Counters: ...
    def send(self, batch: Sequence[T_contra], /) -> None: ...


class DeliveryOptions(msgspec.Struct, frozen=True, kw_only=True):
    capacity: int = 10_000
    max_batch: int = 500
    interval_s: float = 1.0
    """How long an item waits for others."""
    first_retry_s: float = 0.5
    max_tries: int = 5


class Delivery(Generic[T]):
    def __init__(
        self,
        sink: BatchSink[T],
        options: DeliveryOptions | None = None,
        *,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._sink = sink
        self._options = options or DeliveryOptions()
        self._jitter = jitter
        self.counters = sink.counters
        self._reset()
        after_fork_in_child(self._after_fork)

    def offer(self, item: T) -> None:
        """Never waits, never raises: a full queue drops the item, counted."""
        items, options = self._items, self._options
        if len(items) >= options.capacity:
            if self.counters.drop("queue_full"):
                _log.warning("%s: telemetry is dropped, %d events wait already", self._sink.name, len(items))
            return
        items.append(item)
        if self._thread is None:
            self._start()
        if len(items) >= options.max_batch:
            self._signal.set()

    def begin_close(self, deadline: float) -> None:
        self._deadline = deadline
        if self._thread is not None:
            self._signal.set()

    def finish_close(self) -> None:
        """Waits for the thread until the deadline; what it has not sent by then is lost, and counted."""
        if self._thread is not None:
            assert self._deadline is not None
            self._thread.join(max(self._deadline - time.monotonic(), 0.0))
            self.write_off()

    def write_off(self) -> None:
        """Counts what is not sent as lost, now and once: whoever leaves first at the deadline does it, as
        the other may come too late to be heard."""
        with self._lock:
            lost, self._in_flight = len(self._items) + self._in_flight, 0
            self._items.clear()
            self._written_off = True
        self.counters.drop("shutdown", lost)

    def flush(self, deadline: float) -> bool:
        """Waits until the queue is empty and the last batch is through."""
        while self._items or self._in_flight:
            if time.monotonic() >= deadline:
                return False
            self._signal.set()
            time.sleep(0.002)
        return True

    def _start(self) -> None:
        import threading

        with self._lock:
            if self._thread is not None:
                return
            self._thread = threading.Thread(
                target=self._run, name=f"byline-telemetry-{self._sink.name}", daemon=True
            )
            try:
                self._thread.start()
            except RuntimeError:
                self._thread = None

    def _run(self) -> None:
        while self._deadline is None:
            self._signal.wait(self._options.interval_s)
            self._signal.clear()
            self._send_waiting()
            self._call_if_there("idle")
        self._send_waiting()
        self._call_if_there("close", self._deadline)

    def _send_waiting(self) -> None:
        while batch := self._next_batch():
            self._send(batch)
            self._in_flight = 0

    def _next_batch(self) -> list[T]:
        with self._lock:
            self._in_flight = min(len(self._items), self._options.max_batch)
            return [self._items.popleft() for _ in range(self._in_flight)]

    def _send(self, batch: list[T]) -> None:
        for tries in range(1, self._options.max_tries + 1):
            try:
                self._sink.send(batch)
            except Undeliverable as error:
                self._lost(error.reason, len(batch), error)
                return
            except BaseException as error:  # noqa: BLE001 - whatever a sink throws, its thread goes on
                if tries == self._options.max_tries or not self._pause(tries, error):
                    self._lost("delivery_failed", len(batch), error)
                    return
            else:
                return

    def _pause(self, tries: int, error: BaseException) -> bool:
        """Quadratic backoff, spread; False once the end is near."""
        asked = error.after_s if isinstance(error, TryAgain) else None
        pause_s = min(self._options.first_retry_s * tries**2, LONGEST_PAUSE_S) * (0.5 + self._jitter() / 2)
        until = time.monotonic() + max(pause_s, min(asked or 0.0, LONGEST_PAUSE_S))
        while (left_s := until - time.monotonic()) > 0:
            if self._deadline is not None:
                return False
            self._signal.wait(left_s)
            if self._deadline is None:
                self._signal.clear()
        return True

    def _lost(self, reason: Reason, count: int, error: BaseException) -> None:
        if self._written_off:
            return
        if self.counters.drop(reason, count):
            _log.warning("%s: %d telemetry events lost: %s", self._sink.name, count, error)

    def _call_if_there(self, method: str, *arguments: Any) -> None:
        call = getattr(self._sink, method, None)
        if call is None:
            return
        try:
            call(*arguments)
        except Exception:  # noqa: BLE001
            _log.exception("%s: a telemetry sink failed", self._sink.name)

    def _reset(self) -> None:
        import threading

        self._items: deque[T] = deque()
        self._in_flight = 0
        self._written_off = False
        self._deadline: float | None = None
        self._thread: threading.Thread | None = None
        self._signal = threading.Event()
        self._lock = allocate_lock()

    def _after_fork(self) -> None:
        self.counters.reset()
        self._reset()
        self._call_if_there("after_fork")
