"""Events as readable lines, on stderr unless told otherwise."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TextIO

from byline.telemetry.counters import Counters
from byline.telemetry.encoding import general_value
from byline.telemetry.fanout import GeneralEvent


class ConsoleLines:
    name = "console"

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream
        self.counters = Counters()

    def send(self, batch: Sequence[GeneralEvent], /) -> None:
        stream = self._stream or sys.stderr
        stream.write("".join(self.line(event) + "\n" for event in batch))
        stream.flush()
        self.counters.deliver(len(batch))

    def line(self, event: GeneralEvent) -> str:
        at = datetime.fromtimestamp(event.occurred_at, UTC).strftime("%H:%M:%S.%f")[:-3]
        values = (f" {key}={_shown(general_value(value))}" for key, value in event.metadata.items())
        return f"{at} {event.name}{''.join(values)}"


def _shown(value: object) -> str:
    match value:
        case None:
            return "-"
        case bool():
            return "yes" if value else "no"
        case float():
            return f"{value:g}"
        case _:
            text = str(value)
            return text if text.isprintable() else repr(text)
