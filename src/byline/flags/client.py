"""Feature values of one program: reader, disk, source and listeners put together."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Final, TypeVar

import msgspec

from byline.flags.disk import DiskSnapshot
from byline.flags.exposures import ExposureLog, Report
from byline.flags.listeners import Listener, Listeners, Subscription
from byline.flags.overrides import Overrides, OverridesFile
from byline.flags.payload import Payload
from byline.flags.reader import FeatureReader
from byline.flags.refresh import Refresher
from byline.flags.schedule import Schedule
from byline.flags.snapshot import Snapshot
from byline.flags.sources.http import HttpOptions
from byline.flags.sources.source import Fetched, Source

T = TypeVar("T")
CATCH_UP_DELAY_S: Final = 0.01
"""Time for `on_refresh` to return before its listener is called: the listener may want its result."""


class FeatureOptions(msgspec.Struct, frozen=True, kw_only=True):
    enabled: bool = True
    """Off: overrides and defaults only. Nothing is fetched, read from disk or reported."""
    overrides: Overrides = Overrides()
    poll_interval_s: float = 60.0
    http: HttpOptions = HttpOptions()


class FeatureClient:
    """`value` may be called at any moment from any thread. Until `start` nothing is fetched."""

    def __init__(
        self,
        source: Source | None,
        options: FeatureOptions = FeatureOptions(),  # noqa: B008 - a frozen value
        *,
        disk: DiskSnapshot | None = None,
        overrides_file: OverridesFile | None = None,
        report: Report | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        """`report` gets each exposure once, on the reading thread: it must be quick."""
        self._options = options
        self._source = source if options.enabled else None
        self._disk = disk if options.enabled else None
        self._overrides_file = overrides_file
        self._now = now
        self._lock = threading.Lock()
        self._generation = 0
        self._listeners = Listeners()
        self._reader = FeatureReader(self._overrides(), ExposureLog(report), enabled=options.enabled, now=now)
        self.value = self._reader.value
        self.details = self._reader.details
        self.payload: Payload | None = None
        """What was fetched last, with its rules; None for sources that don't show them."""
        self._refresher = Refresher(
            self._source,
            self,
            Schedule(options.poll_interval_s),
            http=options.http,
            watch=self._watch_overrides if overrides_file else None,
        )
        if self._disk is not None and (snapshot := self._disk.load()) is not None:
            self._reader.show_disk(snapshot)

    @property
    def reader(self) -> FeatureReader:
        return self._reader

    @property
    def refresher(self) -> Refresher:
        return self._refresher

    @property
    def source_name(self) -> str | None:
        return self._source.name if self._source else None

    def start(self) -> None:
        """Begins to fetch, on a thread of its own. Returns at once."""
        if self._source is not None or self._overrides_file is not None:
            self._refresher.start()

    def close(self) -> None:
        """Ends the thread without waiting for it. Values stay readable."""
        self._refresher.stop()

    def refresh_now(self) -> None:
        self._refresher.refresh_now()

    def reset(self) -> None:
        """Forgets the values, which were another user's say, and fetches anew."""
        with self._lock:
            self._generation += 1
            self._reader.empty()
            self.payload = None
        if self._source is not None:
            self._refresher.refresh_now(anew=True)

    def on_refresh(self, listener: Listener) -> Callable[[], None]:
        """Calls `listener` with the names that change. If there are values already, it is called once with
        all names soon after this has returned. The result ends it, and is harmless a second time.
        """
        with self._lock:
            subscription = self._listeners.add(listener)
            catches_up, generation = self._reader.has_values, self._generation
        if catches_up:
            self._refresher.run(lambda: self._catch_up(subscription, generation))
        return subscription.end

    # the refresh thread's side

    def fetching(self) -> object:
        return self._generation

    def fetched(self, news: Fetched | None, token: object) -> None:
        now = self._now()
        with self._lock:
            if token != self._generation:
                return
            if news is None:
                self._reader.confirm(now)
                audience, changed = [], frozenset[str]()
            else:
                # Who subscribes from here on sees the new values, and is called with all names.
                audience = self._listeners.current()
                changed = self._reader.publish(news.features, now)
                self.payload = news.payload or self.payload
        if self._disk is not None:
            self._disk.save(Snapshot(now, dict(self._reader.features)))
        _tell(audience, changed)

    def after_fork_in_child(self) -> None:
        """The lock may be held by a thread that exists in the parent only."""
        self._lock = threading.Lock()

    def _catch_up(self, subscription: Subscription, generation: int) -> None:
        time.sleep(CATCH_UP_DELAY_S)
        if generation == self._generation and self._reader.has_values:
            subscription.call(self._reader.names)

    def _overrides(self) -> Overrides:
        if self._overrides_file is None:
            return self._options.overrides
        config = {**self._options.overrides.config, **self._overrides_file.read()}
        return Overrides(self._options.overrides.env, config)

    def _watch_overrides(self) -> None:
        fresh = self._overrides()
        if fresh == self._reader.overrides:
            return
        with self._lock:
            audience = self._listeners.current()
            changed = self._reader.override(fresh)
        _tell(audience, changed)


def _tell(audience: list[Subscription], changed: frozenset[str]) -> None:
    if changed:
        for subscription in audience:
            subscription.call(changed)
