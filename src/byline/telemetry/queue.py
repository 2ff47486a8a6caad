"""Events before and after a sink is there: held, then drained in order behind the caller's back.

Logging costs a check, a copy and an append. One daemon thread takes events out; it starts with the first event
after a sink was attached, and a full queue drops what comes, counted. Nothing here knows a destination.
"""

from __future__ import annotations

import logging
import time
from _thread import allocate_lock
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Final, LiteralString

from byline.telemetry.awaited import DONE, Done
from byline.telemetry.coroutines import CoroutineRunner
from byline.telemetry.counters import Counters
from byline.telemetry.event import (
    Closing,
    Event,
    EventContext,
    EventSink,
    Flushing,
    Sink,
    WritingOff,
)
from byline.telemetry.forks import after_fork_in_child
from byline.telemetry.logged import Logged, logged_type
from byline.telemetry.metadata import (
    KNOWN_NAMES,
    PASS_AS_THEY_ARE,
    USUAL_TYPES,
    Metadata,
    PiiMetadata,
    SafeValue,
    add_pii,
    check_key,
    make_safe,
    make_value_safe,
)

if TYPE_CHECKING:
    import threading

    from byline.telemetry.verified import PiiTagged

EXIT_DEADLINE_S: Final = 1.0
LINGER_S: Final = 0.02
"""Events of so long are taken out together: waking a thread for each would cost more than the event."""
ATTACHED: Final = "analytics_sink_attached"
_CHUNK: Final = 512
_log = logging.getLogger("byline.telemetry")


class EventQueue:
    """`log_event` from any thread, `attach` once, `close` at the end of the program."""

    def __init__(
        self,
        *,
        capacity: int = 100_000,
        announce_attach: bool = False,
        now: Callable[[], float] = time.time,
        linger_s: float = LINGER_S,
        enabled: bool = True,
    ) -> None:
        """`announce_attach`: tell the sink by an event of its own how much was held for it."""
        self._capacity = capacity
        self._limit = capacity if enabled else 0
        """How many may wait: one number to look at, whatever turns events away."""
        self._announce = announce_attach
        self._now = now
        self._new = logged_type(now, None)
        self._resolve: Callable[[object], EventContext | None] | None = None
        self._linger_s = linger_s
        self.enabled = enabled
        self.counters = Counters()
        self._coroutines = CoroutineRunner(self.counters)
        self._events: deque[Logged] = deque()
        self._sink: Sink | EventSink | None = None
        self._take: Callable[[Logged], bool]
        """Hands one over; True where it is counted elsewhere, when it is known what became of it."""
        self._closed = False
        self._forget_threads()
        after_fork_in_child(self._after_fork)

    def log_event(
        self,
        name: LiteralString,
        metadata: Metadata,
        pii: PiiMetadata | None = None,
        is_async: bool = False,
    ) -> None:
        """Raises UnsafeMetadata for what may not be in an event; everything else is counted, not raised."""
        # A copy, so that what is checked is what is sent. The check stands here, as a call would be a tenth of
        # the whole cost; one loop over keys is quicker than any set operation over types. Parameters that
        # are keyword-only would make every call a slower one (CPython 3.11).
        values: dict[str, SafeValue | PiiTagged] = {**metadata}
        is_new = False
        try:
            for key in values:
                if type(values[key]) is not USUAL_TYPES[key] and type(values[key]) not in PASS_AS_THEY_ARE:
                    make_value_safe(values, key)
        except KeyError:
            is_new = True  # not dealt with here, or what is raised would carry the key as its context
        if is_new:
            make_safe(values)
        if name not in KNOWN_NAMES:
            check_key(name)
        if pii:
            add_pii(values, pii)
        events = self._events
        if len(events) >= self._limit:
            self._overflow()
            return
        events.append(self._new(name, values, is_async))
        if self._asleep:
            self._wake()

    def log_event_async(
        self, name: LiteralString, metadata: Metadata, *, pii: PiiMetadata | None = None
    ) -> Done:
        """Like `log_event`, for a sink's asynchronous side. May be awaited or not; it is done already."""
        self.log_event(name, metadata, pii, is_async=True)
        return DONE

    def carry(self, context: Callable[[], object], resolve: Callable[[object], EventContext | None]) -> None:
        """`context` is called with every event from here on, so it must be quick; `resolve` makes columns of
        what it gave, later, in the queue's own thread."""
        self._new, self._resolve = logged_type(self._now, context), resolve

    def attach(self, sink: Sink | EventSink) -> bool:
        """The first wins; False for every further one. Returns at once, the queue drains behind it."""
        with self._lock:
            if self._sink is not None or self._closed:
                return False
            waiting = len(self._events)
            if waiting and self._announce:
                self._events.appendleft(Logged(ATTACHED, {"queued_event_count": waiting}, at=self._now()))
            self._take = partial(self._accept if isinstance(sink, EventSink) else self._call, sink)
            self._sink = sink
            self._asleep = True
        if self._events:  # looked at anew: one may have come just before there was somebody to wake
            self._wake()
        return True

    @property
    def is_attached(self) -> bool:
        return self._sink is not None

    def __len__(self) -> int:
        return len(self._events)

    def flush(self, timeout_s: float = EXIT_DEADLINE_S) -> bool:
        """Waits until what was logged has reached the sink; False if the time did not suffice."""
        deadline = time.monotonic() + timeout_s
        if self._thread is None:
            return not self._events
        while self._events or not self._asleep:
            if time.monotonic() >= deadline:
                return False
            self._signal.set()
            time.sleep(0.001)
        if isinstance(self._sink, Flushing):
            self._sink.flush(deadline)
        return True

    def close(self, timeout_s: float = EXIT_DEADLINE_S) -> None:
        """Sends what can be sent in `timeout_s`, sinks' own queues included; the rest counts as dropped."""
        thread, was_closed = self._thread, self._closed
        self._closed = True
        self._limit = 0
        if thread is None or was_closed:
            if self._sink is not None and not was_closed:
                self._write_off()  # there was no thread to be had
            return
        self._stop_at = time.monotonic() + timeout_s
        self._signal.set()
        thread.join(timeout_s)
        self._write_off()

    def _write_off(self) -> None:
        """What is left is counted here, not in threads that may go on a moment longer than anybody listens."""
        lost, self._in_hand = len(self._events) + self._in_hand, 0
        self._events.clear()
        self.counters.drop("shutdown", lost)
        self._coroutines.write_off()
        if isinstance(self._sink, WritingOff):
            self._sink.write_off()

    def _overflow(self) -> None:
        if not self.enabled:
            return
        first = self.counters.drop("shutdown" if self._closed else "queue_full")
        if first and not self._closed:
            _log.warning("telemetry events are dropped: %d are waiting already", self._capacity)

    def _wake(self) -> None:
        with self._lock:
            if not self._asleep or self._sink is None:
                return
            self._asleep = False
            if self._thread is None:
                self._start()
        self._signal.set()

    # the thread's side

    def _start(self) -> None:
        import threading

        from byline.telemetry.at_exit import close_at_exit

        self._signal = threading.Event()
        self._thread = threading.Thread(target=self._run, name="byline-telemetry", daemon=True)
        try:
            self._thread.start()
        except RuntimeError:  # no thread to be had, or the interpreter is ending
            self._thread, self._asleep = None, True
        else:
            close_at_exit(self.close)

    def _run(self) -> None:
        while self._stop_at is None:
            self._signal.wait()
            self._signal.clear()
            if self._stop_at is None:
                self._signal.wait(self._linger_s)
            self._drain()
        self._end(self._stop_at)

    def _drain(self) -> None:
        """Until nothing is left, so that one signal suffices for all that came meanwhile."""
        events = self._events
        while True:
            while events and not self._is_late():
                self._hand_over(min(len(events), _CHUNK))
            self._asleep = True
            if not events or self._is_late():
                return
            self._asleep = False  # an event came between the last look and falling asleep

    def _is_late(self) -> bool:
        return self._stop_at is not None and time.monotonic() >= self._stop_at

    def _hand_over(self, count: int) -> None:
        """One function for many events: taking them out must be quicker than logging them, else they
        pile up behind a busy program, in memory that gets slower the more of it there is."""
        next_one, take, counters = self._events.popleft, self._take, self.counters
        for _ in range(count):
            try:
                logged = next_one()
            except IndexError:  # written off meanwhile
                return
            self._in_hand = 1
            try:
                is_counted_elsewhere = take(logged)
            except BaseException:  # noqa: BLE001 - a sink's errors are never the program's, nor this thread's end
                if counters.drop("sink_error", self._in_hand):
                    _log.warning("the telemetry sink failed; its events are dropped", exc_info=True)
            else:
                if self._in_hand and not is_counted_elsewhere:  # else it was written off meanwhile
                    counters.deliver()
            self._in_hand = 0

    def _accept(self, sink: EventSink, logged: Logged) -> bool:
        context = self._resolve(logged.context) if self._resolve is not None else None
        sink.accept(Event(logged.name, logged.values, logged.at, logged.is_async, context))
        return False

    def _call(self, sink: Sink, logged: Logged) -> bool:
        if logged.is_async:
            return self._coroutines.run(sink.log_event_async(logged.name, logged.values))
        sink.log_event(logged.name, logged.values)
        return False

    def _end(self, deadline: float) -> None:
        self._drain()
        self._coroutines.wait(deadline)
        if isinstance(self._sink, Closing):
            try:
                self._sink.close(deadline)
            except Exception:  # noqa: BLE001
                _log.warning("the telemetry sink did not close", exc_info=True)

    # forks

    def _forget_threads(self) -> None:
        self._lock = allocate_lock()
        self._thread: threading.Thread | None = None
        self._signal: threading.Event
        self._stop_at: float | None = None
        self._in_hand = 0
        """1 while a sink has an event that it has not taken yet; 0 again once that is written off."""
        self._asleep = self._sink is not None
        """Whether the thread must be woken for the next event. False before a sink is there: nobody to wake."""

    def _after_fork(self) -> None:
        """The child begins anew: the parent delivers what the parent logged."""
        self._events = deque()
        self.counters.reset()
        self._coroutines.forget()
        self._forget_threads()
