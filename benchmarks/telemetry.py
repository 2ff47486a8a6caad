"""What an event costs the program that logs it: a million of three keys, with a sink attached.

    python -m benchmarks.telemetry

Prints medians over batches of a hundred, in nanoseconds of the logging thread's own CPU time: of the whole loop,
and of what `log_event` adds to the same loop around a function that does nothing, run in turns with it, since the
dict of three keys and the call are the caller's; beside them an append to a deque, because on a busy or slow machine all
grow alike. Reading the clock (some 300 ns) falls on a batch, so 3 ns on an event. Exit code 1 from a microsecond
on, of the whole.
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
LIMIT_NS = 1000.0


class Counting:
    def __init__(self) -> None:
        self.count = 0

    def log_event(self, name: str, metadata: EventValues) -> None:
        self.count += 1

    log_event_async = log_event


def took_ns(batch: Callable[[], object]) -> float:
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
    baseline = median(took_ns(append_batch) for _ in range(EVENTS // BATCH // 10))
    queue.attach(sink)
    logging: list[float] = []
    ignoring: list[float] = []
    for _ in range(EVENTS // BATCH):
        logging.append(took_ns(lambda: log_batch(queue.log_event, model)))
        ignoring.append(took_ns(lambda: log_batch(ignore, model)))
    added = median(one - other for one, other in zip(logging, ignoring, strict=True))
    queue.flush(60)
    print(
        f"log_event {median(logging):.0f} ns, of which enqueueing {added:.0f} ns; deque.append {baseline:.0f} ns; "
        f"delivered {sink.count:,} of {EVENTS:,}"
    )
    queue.close()
    return 0 if median(logging) < LIMIT_NS and sink.count == EVENTS else 1


if __name__ == "__main__":
    sys.exit(main())
