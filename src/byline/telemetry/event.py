"""An event on its way, and what takes it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, Protocol, runtime_checkable

import msgspec

from byline.telemetry.metadata import EventValues


class EventContext(msgspec.Struct, frozen=True, kw_only=True):
    """Who and what an event belongs to: columns of the first-party row, for no general sink's eyes."""

    user: str | None = None
    job: str | None = None
    actor_id: str | None = None
    session_id: str | None = None
    device_id: str | None = None
    request_id: str | None = None


class Event(NamedTuple):
    """`values` may hold personal data under `_PROTO_` keys; whoever reads them owes the stripping."""

    name: str
    values: EventValues
    occurred_at: float
    """Epoch seconds."""
    is_async: bool = False
    context: EventContext | None = None


class Sink(Protocol):
    """Two callables. Called from one thread, in order; whatever they raise is counted and swallowed.

    An awaitable that `log_event_async` returns is run, on a loop of its own, and never waited for.
    """

    def log_event(self, name: str, metadata: EventValues, /) -> object: ...
    def log_event_async(self, name: str, metadata: EventValues, /) -> object: ...


@runtime_checkable
class EventSink(Protocol):
    """A sink that wants whole events, with their time and context."""

    def accept(self, event: Event, /) -> None: ...


@runtime_checkable
class Closing(Protocol):
    """A sink with a queue of its own: `close` sends what it can until `deadline` (monotonic seconds)."""

    def close(self, deadline: float) -> None: ...


@runtime_checkable
class WritingOff(Protocol):
    """A sink that counts what it has not sent as lost when told so: `close` may have come too late for it."""

    def write_off(self) -> None: ...


@runtime_checkable
class Flushing(Protocol):
    def flush(self, deadline: float) -> None: ...


Row = Mapping[str, object]
"""A row of `api_events`."""
