"""The queue of this process: what `byline.log_event` and its siblings are.

BYLINE_TELEMETRY=off turns it off: misuse still raises, nothing is kept, no thread starts.
BYLINE_DEBUG announces what was held when a sink is attached, as internal builds do.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Final, LiteralString, Protocol

from byline._build import BUILD
from byline.telemetry.metadata import Metadata, PiiMetadata
from byline.telemetry.queue import EventQueue

SWITCH: Final = "BYLINE_TELEMETRY"
DEBUG: Final = "BYLINE_DEBUG"
_OFF: Final = frozenset({"0", "off", "false", "no", "disabled"})
_NOT_SET: Final = frozenset({"", "0", "off", "false", "no"})


def make_queue(environ: Mapping[str, str], build: str = BUILD) -> EventQueue:
    debug = environ.get(DEBUG, "").lower() not in _NOT_SET
    return EventQueue(
        enabled=environ.get(SWITCH, "").strip().lower() not in _OFF,
        announce_attach=debug or build == "internal",
    )


class LogEvent(Protocol):
    """What callers may rely on; `EventQueue.log_event` takes more, and takes it in a quicker way."""

    def __call__(
        self, name: LiteralString, metadata: Metadata, *, pii: PiiMetadata | None = None
    ) -> None: ...


queue: Final = make_queue(os.environ)
log_event: LogEvent = queue.log_event
log_event_async = queue.log_event_async
attach_sink = queue.attach
flush_events = queue.flush
