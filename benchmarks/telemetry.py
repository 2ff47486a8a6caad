"""What an event costs the program that logs it: a million of three keys, with a sink attached.

    python -m benchmarks.telemetry

Prints medians over batches of a hundred, in nanoseconds of the logging thread's own CPU time, beside
an append to a deque: on a busy or slow machine both grow alike. Exit code 1 from a microsecond on.
"""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Callable

from byline.telemetry.metadata import EventValues
from byline.telemetry.queue import EventQueue
from byline.telemetry.verified import not_code_or_path

EVENTS = 1_000_000
BATCH = 100
LIMIT_NS = 1000.0


class Counting:
    def __init__(self) -> None:
        self.count = 0

    def log_event(self, name: str, metadata: EventValues) -> None:
        self.count += 1

    log_event_async = log_event


def median_ns(call: Callable[[], object], batches: int) -> float:
    took: list[float] = []
    for _ in range(batches):
        began = time.thread_time_ns()
        for _ in range(BATCH):
            call()
        took.append((time.thread_time_ns() - began) / BATCH)
    return sorted(took)[batches // 2]


def main() -> int:
    queue, sink, model = EventQueue(capacity=2 * EVENTS), Counting(), not_code_or_path("claude-sonnet-4-6")
    plain: deque[int] = deque()
    baseline = median_ns(lambda: plain.append(1), EVENTS // BATCH // 10)
    queue.attach(sink)
    log = queue.log_event
    event = median_ns(lambda: log("job_done", {"model": model, "shards": 12, "ok": True}), EVENTS // BATCH)
    queue.flush(60)
    print(f"log_event {event:.0f} ns, deque.append {baseline:.0f} ns, delivered {sink.count:,} of {EVENTS:,}")
    queue.close()
    return 0 if event < LIMIT_NS and sink.count == EVENTS else 1


if __name__ == "__main__":
    sys.exit(main())
