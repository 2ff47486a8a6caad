"""The one thread: asks the source, follows its stream, runs what others want done there.

Fork-safe: a child starts a thread of its own if its parent had one. Stops with the program, which never
waits for it.
"""

from __future__ import annotations

import logging
import os
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable
from typing import Final, Protocol

from byline.flags.payload import PayloadRefused
from byline.flags.schedule import Schedule
from byline.flags.sources.http import HttpOptions
from byline.flags.sources.source import Fetched, Source, SourceError
from byline.flags.sources.stream import EventStream
from byline.flags.waiting import Waiter

log = logging.getLogger(__name__)

MIN_SPACING_S: Final = 2.0
"""Between two things done because the stream said so, however often it says so."""
_NEVER: Final = float("inf")


class Receiver(Protocol):
    """Who takes what was fetched. Called on the refresh thread."""

    def fetching(self) -> object:
        """Before a fetch: what `fetched` gets back, to tell whether its values are still wanted."""
        ...

    def fetched(self, news: Fetched | None, token: object) -> None: ...
    def after_fork_in_child(self) -> None: ...


class Refresher:
    def __init__(
        self,
        source: Source | None,
        receiver: Receiver,
        schedule: Schedule,
        *,
        http: HttpOptions = HttpOptions(),  # noqa: B008 - a frozen value
        clock: Callable[[], float] = time.monotonic,
        watch: Callable[[], None] | None = None,
        watch_interval_s: float = 1.0,
    ) -> None:
        """Without a source only `watch` and jobs are looked after. `watch` is called every `watch_interval_s` on the thread: it looks at something local."""
        self._source = source
        self._receiver = receiver
        self._schedule = schedule
        self._stream_schedule = Schedule(schedule.interval_s)
        self._http = http
        self._clock = clock
        self._watch = watch
        self._watch_interval_s = watch_interval_s if watch else _NEVER
        self._validator: str | None = None
        self.requests = 0
        """Sent so far, those for the stream included."""
        self.problem: str | None = None
        """Why the last fetch failed."""
        self._jobs: deque[Callable[[], None]] = deque()
        self._begin_process()
        _refreshers.add(self)

    # any thread's side

    def start(self) -> None:
        """A second time does nothing; nor does it after `stop`."""
        with self._starting:
            if self._thread is not None or self._stopping:
                return
            self._waiter = Waiter()
            self._thread = threading.Thread(target=self._run, name="byline-features", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """Without waiting for a fetch under way."""
        self._stopping = True
        self._wake()

    def join(self, timeout_s: float | None = None) -> None:
        if self._thread is not None:
            self._thread.join(timeout_s)

    def refresh_now(self, *, anew: bool = False) -> None:
        """`anew`: the values, even if nothing has changed."""
        self.run(lambda: self._due_now(anew))

    def run(self, job: Callable[[], None]) -> None:
        """Has `job` done on the thread, which is started for it."""
        self._jobs.append(job)
        self._wake()
        self.start()

    def _wake(self) -> None:
        if self._waiter is not None:
            self._waiter.wake()

    # the thread's side

    def _run(self) -> None:
        waiter = self._waiter
        assert waiter is not None
        try:
            while not self._stopping:
                self._step()
                waiter.wait(self._next_at() - self._clock(), self._stream.socket if self._stream else None)
        finally:
            self._close_stream()
            waiter.close()

    def _step(self) -> None:
        """Whatever is due. Separate from waiting, so that it can be driven by a clock of one's own."""
        while self._jobs:
            self._jobs.popleft()()
        now = self._clock()
        if now >= self._watch_at:
            self._watch_at = now + self._watch_interval_s
            self._look()
        if now >= self._poll_at:
            self._poll()
        self._follow()

    def _next_at(self) -> float:
        at = min(self._poll_at, self._watch_at, self._event_at if self._event else _NEVER)
        return min(at, self._reopen_at) if self._follows and self._stream is None else at

    def _due_now(self, anew: bool) -> None:
        if self._source is None:
            return
        if anew:
            self._validator = None
        self._poll_at = self._clock()

    def _look(self) -> None:
        assert self._watch is not None
        try:
            self._watch()
        except Exception:
            log.exception("looking after overrides of feature values failed")

    def _poll(self) -> None:
        if self._take(self._fetch):
            self._poll_at = self._clock() + self._schedule.after_success()
        else:
            self._poll_at = self._clock() + self._schedule.after_failure()

    def _fetch(self) -> Fetched | None:
        assert self._source is not None
        self.requests += 1
        return self._source.fetch(self._validator)

    def _take(self, fetch: Callable[[], Fetched | None]) -> bool:
        """Hands on what `fetch` brings. What can't be used is refused: the last good stays."""
        token = self._receiver.fetching()
        try:
            news = fetch()
        except (SourceError, PayloadRefused) as error:
            self._failed(f"{error}" if isinstance(error, SourceError) else f"the payload is refused: {error}")
            return False
        except Exception as error:
            # A hostile payload may break a library in ways nobody has thought of; the thread must go on.
            log.exception("fetching feature values failed")
            self._failed(type(error).__name__)
            return False
        if news is not None and news.validator is not None:
            self._validator = news.validator
        self.problem = None
        self._receiver.fetched(news, token)
        return True

    def _failed(self, problem: str) -> None:
        """One warning per episode, not per attempt."""
        if self.problem is None:
            name = self._source.name if self._source else ""
            log.warning("feature values from %s: %s; the last good ones stay", name, problem)
        self.problem = problem

    # the stream

    @property
    def _follows(self) -> bool:
        return self._source is not None and self._source.stream is not None

    def _follow(self) -> None:
        if not self._follows:
            return
        try:
            if self._stream is None:
                self._open_stream()
            if self._stream is not None:
                for event in self._stream.read():
                    self._event = event if event[0] in (b"features", b"features-updated") else self._event
        except SourceError as error:
            log.debug("the stream of feature values: %s", error)
            self._stream_ended()
        except Exception:
            log.exception("following the stream of feature values failed")
            self._stream_ended()
        if self._event is not None and self._clock() >= self._event_at:
            self._handle(*self._event)

    def _open_stream(self) -> None:
        address = self._source.stream if self._source else None
        if address is None or self._clock() < self._reopen_at:
            return
        self.requests += 1
        self._opened_at = self._clock()
        self._stream = EventStream(address, self._http)

    def _stream_ended(self) -> None:
        """Opened again soon if it has held for a while, ever later if it never does."""
        self._close_stream()
        now = self._clock()
        if now - self._opened_at >= self._schedule.interval_s:
            self._stream_schedule.after_success()
        self._reopen_at = now + self._stream_schedule.after_failure()

    def _handle(self, name: bytes, data: bytes) -> None:
        self._event = None
        self._event_at = self._clock() + MIN_SPACING_S
        source = self._source
        if name == b"features" and source is not None:
            self._take(lambda: source.read_event(data))
        else:
            self._poll()

    def _close_stream(self) -> None:
        if self._stream is not None:
            self._stream.close()
            self._stream = None

    # forks

    def _begin_process(self) -> None:
        self._starting = threading.Lock()
        self._waiter: Waiter | None = None
        self._thread: threading.Thread | None = None
        self._stopping = False
        self._stream: EventStream | None = None
        self._event: tuple[bytes, bytes] | None = None
        self._event_at = self._reopen_at = self._opened_at = 0.0
        self._poll_at = 0.0 if self._source else _NEVER
        self._watch_at = 0.0 if self._watch else _NEVER

    def after_fork_in_child(self) -> None:
        """The parent's thread is not here, its sockets are: they are the parent's to use."""
        ran = self._thread is not None and not self._stopping
        self._close_stream()
        if self._waiter is not None:
            self._waiter.close()
        self._receiver.after_fork_in_child()
        self._begin_process()
        if ran:
            self.start()


_refreshers: weakref.WeakSet[Refresher] = weakref.WeakSet()


def _restart_in_child() -> None:
    for refresher in list(_refreshers):
        refresher.after_fork_in_child()


os.register_at_fork(after_in_child=_restart_in_child)
