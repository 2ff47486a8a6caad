"""Events as JSON lines, appended to a file that only its owner reads."""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from byline.telemetry.counters import Counters
from byline.telemetry.encoding import general_value, to_json
from byline.telemetry.fanout import GeneralEvent


class NdjsonFile:
    name = "ndjson"

    def __init__(self, path: Path) -> None:
        self._path = path
        self.counters = Counters()

    def send(self, batch: Sequence[GeneralEvent], /) -> None:
        # Opened each time: whoever rotates the file needs to tell nobody. One write, so that lines
        # of several processes don't mix.
        lines = b"".join(self.line(event) + b"\n" for event in batch)
        descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.write(descriptor, lines)
        finally:
            os.close(descriptor)
        self.counters.deliver(len(batch))

    def line(self, event: GeneralEvent) -> bytes:
        return to_json(
            {
                "event_name": event.name,
                "occurred_at": datetime.fromtimestamp(event.occurred_at, UTC),
                "metadata": {key: general_value(value) for key, value in event.metadata.items()},
            }
        )
