"""What an event costs the program that logs it: a million of three keys, with a sink attached.

    python -m benchmarks.telemetry

Prints medians over batches of a hundred, in nanoseconds of the logging thread's own CPU time, beside
an append to a deque: on a busy or slow machine both grow alike. The caller's part is in it: the loop, the
call, and the dict of three keys that it makes, about a fifth of the whole. Reading the clock (some 300 ns)
falls on a batch, so 3 ns on an event. Exit code 1 from a microsecond on.
"""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Callable
from typing import LiteralString

from byline.telemetry.metadata import EventValues, Metadata
from byline.telemetry.queue import EventQueue
from byline.telemetry.verified import Verified, not_code_or_path

EVENTS = 1_000_000
BATCH = 100
LIMIT_NS = 1000.0


class Counting:
    def __init__(self) -> None:
        self.count = 0

    def log_event(self, name: str, metadata: EventValues) -> None:
        self.count += 1

    log_event_async = log_event


def median_ns(batch: Callable[[], object], batches: int) -> float:
    took: list[float] = []
    for _ in range(batches):
        began = time.thread_time_ns()
        batch()
        took.append((time.thread_time_ns() - began) / BATCH)
    return sorted(took)[batches // 2]


def append_batch() -> None:
    plain: deque[int] = deque()
    for _ in range(BATCH):
        plain.append(1)


def log_batch(log: Callable[[LiteralString, Metadata], object], model: Verified) -> None:
    for _ in range(BATCH):
        log("job_done", {"model": model, "shards": 12, "ok": True})


def main() -> int:
    queue, sink, model = EventQueue(capacity=2 * EVENTS), Counting(), not_code_or_path("claude-sonnet-4-6")
    baseline = median_ns(append_batch, EVENTS // BATCH // 10)
    queue.attach(sink)
    event = median_ns(lambda: log_batch(queue.log_event, model), EVENTS // BATCH)
    queue.flush(60)
    print(f"log_event {event:.0f} ns, deque.append {baseline:.0f} ns, delivered {sink.count:,} of {EVENTS:,}")
    queue.close()
    return 0 if event < LIMIT_NS and sink.count == EVENTS else 1


if __name__ == "__main__":
    sys.exit(main())
