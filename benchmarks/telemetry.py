"""What an event costs the program that logs it: a million of three keys, with a sink attached.

    python -m benchmarks.telemetry

Prints medians over batches of a hundred, in nanoseconds of the logging thread's own CPU time: of the whole loop, with
the call and the dict of three keys that are the caller's, and before it of the same loop around a function that does
nothing; beside them an append to a deque, because on a busy or slow machine all grow alike. Reading the clock (some
300 ns) falls on a batch, so 3 ns on an event. Exit code 1 from a microsecond on, of the whole.
"""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Callable
from statistics import median
from typing import LiteralString

from byline.telemetry.metadata import EventValues, Metadata
from byline.telemetry.queue import EventQueue
from byline.telemetry.verified import Verified, not_code_or_path

EVENTS = 1_000_000
BATCH = 100
TENTH = EVENTS // BATCH // 10
LIMIT_NS = 1000.0


class Counting:
    def __init__(self) -> None:
        self.count = 0

    def log_event(self, name: str, metadata: EventValues) -> None:
        self.count += 1

    log_event_async = log_event


def median_ns(batch: Callable[[], object], batches: int) -> float:
    return median(_took_ns(batch) for _ in range(batches))


def _took_ns(batch: Callable[[], object]) -> float:
    began = time.thread_time_ns()
    batch()
    return (time.thread_time_ns() - began) / BATCH


def append_batch() -> None:
    plain: deque[int] = deque()
    for _ in range(BATCH):
        plain.append(1)


def log_batch(log: Callable[[LiteralString, Metadata], object], model: Verified) -> None:
    for _ in range(BATCH):
        log("job_done", {"model": model, "shards": 12, "ok": True})


def ignore(name: LiteralString, metadata: Metadata) -> None:
    pass


def main() -> int:
    queue, sink, model = EventQueue(capacity=2 * EVENTS), Counting(), not_code_or_path("claude-sonnet-4-6")
    append, nothing = median_ns(append_batch, TENTH), median_ns(lambda: log_batch(ignore, model), TENTH)
    queue.attach(sink)
    event = median_ns(lambda: log_batch(queue.log_event, model), EVENTS // BATCH)
    queue.flush(60)
    print(
        f"log_event {event:.0f} ns (an empty function {nothing:.0f}, deque.append {append:.0f}), "
        f"delivered {sink.count:,} of {EVENTS:,}"
    )
    queue.close()
    return 0 if event < LIMIT_NS and sink.count == EVENTS else 1


if __name__ == "__main__":
    sys.exit(main())
