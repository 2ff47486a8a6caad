from __future__ import annotations

from byline.telemetry.logged import Logged, logged_type
from byline.telemetry.queue import EventQueue


class Whole:
    def __init__(self):
        self.seen = []

    def accept(self, event):
        self.seen.append(event)


def test_each_event_asks_the_clock_and_the_context_anew():
    times, whose = iter([1.0, 2.0]), iter(["ada", "grace"])
    made = logged_type(lambda: next(times), lambda: next(whose))
    assert [(each.at, each.context) for each in (made("a", {}), made("b", {}))] == [
        (1.0, "ada"),
        (2.0, "grace"),
    ]


def test_without_a_context_there_is_none():
    event = logged_type(lambda: 3.0, None)("a", {"n": 1}, True)
    assert (event.name, event.values, event.is_async, event.at, event.context) == (
        "a",
        {"n": 1},
        True,
        3.0,
        None,
    )
    assert isinstance(event, Logged)


def test_events_keep_the_time_at_which_they_were_logged_and_what_was_carried_then():
    times, sink = iter(range(100)), Whole()
    queue = EventQueue(linger_s=0, now=lambda: float(next(times)))
    queue.log_event("before", {})
    queue.carry(lambda: "ada", lambda carried: carried)
    queue.log_event_async("behind", {})
    queue.attach(sink)
    assert queue.flush(10)
    queue.close()
    seen = [(event.name, event.occurred_at, event.context, event.is_async) for event in sink.seen]
    assert seen == [("before", 0.0, None, False), ("behind", 1.0, "ada", True)]
