from __future__ import annotations

import asyncio
import logging
import os
import threading
import warnings

import pytest

from byline.telemetry.process import make_queue
from byline.telemetry.queue import EventQueue
from byline.telemetry.verified import UnsafeMetadata, i_verified_this_is_pii_tagged


class Recorder:
    def __init__(self):
        self.seen = []

    def log_event(self, name, metadata):
        self.seen.append((name, dict(metadata)))

    def log_event_async(self, name, metadata):
        self.seen.append((f"async {name}", dict(metadata)))


@pytest.fixture
def queue():
    made = EventQueue(linger_s=0)
    yield made
    made.close()


def test_events_before_a_sink_come_in_order_and_nothing_overtakes(queue):
    for number in range(100):
        (queue.log_event_async if number % 2 else queue.log_event)("step", {"n": number})
    recorder = Recorder()
    assert queue.attach(recorder)
    for number in range(100, 2000):
        queue.log_event("step", {"n": number})
    assert queue.flush(20)
    assert [values["n"] for _, values in recorder.seen] == list(range(2000))
    assert recorder.seen[1][0] == "async step"
    assert recorder.seen[2][0] == "step"


def test_the_first_sink_wins_and_a_second_attach_returns_false(queue):
    first, second = Recorder(), Recorder()
    assert queue.attach(first) is True
    assert queue.attach(second) is False
    assert queue.attach(first) is False
    queue.log_event("a", {})
    assert queue.flush(10)
    assert (len(first.seen), len(second.seen)) == (1, 0)


def test_the_announcement_comes_first_and_only_if_something_was_held():
    for held in (3, 0):
        queue, recorder = EventQueue(announce_attach=True, linger_s=0), Recorder()
        for _ in range(held):
            queue.log_event("a", {})
        queue.attach(recorder)
        queue.log_event("b", {})
        assert queue.flush(10)
        announced = [("analytics_sink_attached", {"queued_event_count": held})] if held else []
        assert recorder.seen == [*announced, *[("a", {})] * held, ("b", {})]
        queue.close()


@pytest.mark.parametrize(
    ("environ", "build", "announces"),
    [
        ({}, "public", False),
        ({}, "internal", True),
        ({"BYLINE_DEBUG": "1"}, "public", True),
        ({"BYLINE_DEBUG": "0"}, "public", False),
    ],
)
def test_internal_builds_and_debugging_announce_what_was_held(environ, build, announces):
    queue, recorder = make_queue(environ, build), Recorder()
    queue.log_event("a", {})
    queue.attach(recorder)
    assert queue.flush(10)
    queue.close()
    assert [name for name, _ in recorder.seen] == (["analytics_sink_attached", "a"] if announces else ["a"])


def test_no_thread_starts_before_the_first_event_after_attach(queue):
    before = threading.active_count()
    queue.attach(Recorder())
    assert threading.active_count() == before
    queue.log_event("a", {})
    assert threading.active_count() == before + 1


def test_no_thread_starts_without_a_sink(queue):
    before = threading.active_count()
    queue.log_event("a", {})
    assert threading.active_count() == before


def test_off_means_no_thread_and_nothing_kept_but_misuse_still_raises():
    before, queue = threading.active_count(), make_queue({"BYLINE_TELEMETRY": "off"}, "public")
    queue.attach(Recorder())
    queue.log_event("a", {})
    with pytest.raises(UnsafeMetadata):
        queue.log_event("a", {"q": "plain"})
    assert len(queue) == 0
    assert threading.active_count() == before


def test_while_no_thread_is_to_be_had_events_wait_and_are_counted_at_the_end(queue, monkeypatch):
    closed_at_exit = []
    monkeypatch.setattr("byline.telemetry.at_exit.atexit.register", closed_at_exit.append)
    queue.attach(Recorder())
    with monkeypatch.context() as exhausted:

        def refuse(_):
            raise RuntimeError("can't start new thread")

        exhausted.setattr(threading.Thread, "start", refuse)
        queue.log_event("first", {})
        queue.log_event("second", {})
        assert closed_at_exit == []
    queue.close()
    assert queue.counters.dropped == {"shutdown": 2}


def test_a_full_queue_keeps_the_oldest_counts_the_rest_and_warns_once(caplog):
    queue, recorder = EventQueue(capacity=10, linger_s=0), Recorder()
    with caplog.at_level(logging.WARNING):
        for number in range(15):
            queue.log_event("a", {"n": number})
    assert queue.counters.dropped == {"queue_full": 5}
    assert len(caplog.records) == 1
    queue.attach(recorder)
    assert queue.flush(10)
    assert [values["n"] for _, values in recorder.seen] == list(range(10))
    queue.close()


def test_counts_add_up_over_many_threads():
    queue, recorder = EventQueue(capacity=500, linger_s=0), Recorder()
    queue.attach(recorder)
    threads = [
        threading.Thread(target=lambda: [queue.log_event("a", {"n": n}) for n in range(2000)])
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert queue.flush(20)
    queue.close()
    assert queue.counters.delivered == len(recorder.seen)
    assert queue.counters.delivered + sum(queue.counters.dropped.values()) == 8000


def test_a_sink_that_raises_is_counted_and_the_next_event_still_comes(queue, caplog):
    class Moody(Recorder):
        def log_event(self, name, metadata):
            if name == "bad":
                raise RuntimeError("boom")
            super().log_event(name, metadata)

    recorder = Moody()
    queue.attach(recorder)
    for name in ("bad", "good", "bad", "good"):
        queue.log_event(name, {})
    assert queue.flush(10)
    assert [name for name, _ in recorder.seen] == ["good", "good"]
    assert queue.counters.dropped == {"sink_error": 2}


def test_every_event_is_counted_once_when_close_returns_while_the_sink_hangs():
    queue, entered, gate = EventQueue(capacity=100, linger_s=0), threading.Event(), threading.Event()

    class Stuck(Recorder):
        def log_event(self, name, metadata):
            if metadata["n"] == 3:
                entered.set()
                gate.wait(20)

    queue.attach(Stuck())
    for number in range(10):
        queue.log_event("a", {"n": number})
    assert entered.wait(20)
    queue.close(0)
    queue.close(0)
    counted = queue.counters.delivered, queue.counters.dropped
    assert counted == (3, {"shutdown": 7})
    queue.log_event("late", {})
    assert queue.counters.dropped == {"shutdown": 8}
    thread = queue._thread
    gate.set()
    thread.join(20)
    assert not thread.is_alive()
    assert (queue.counters.delivered, queue.counters.dropped) == (3, {"shutdown": 8})


def test_what_an_async_sink_returns_is_run_but_not_waited_for(queue):
    gate, done = threading.Event(), threading.Event()

    class Slow(Recorder):
        async def log_event_async(self, name, metadata):
            await asyncio.get_running_loop().run_in_executor(None, gate.wait)
            self.seen.append((f"async {name}", dict(metadata)))
            done.set()

    recorder = Slow()
    queue.attach(recorder)
    queue.log_event_async("first", {})
    queue.log_event("second", {})
    assert queue.flush(10)
    assert recorder.seen == [("second", {})]
    gate.set()
    assert done.wait(10)
    assert recorder.seen[1] == ("async first", {})


def test_what_an_async_sink_returns_is_counted_once_when_it_is_known_what_became_of_it(queue):
    gates = {name: threading.Event() for name in ("good", "bad", "stuck")}

    class Slow(Recorder):
        async def log_event_async(self, name, metadata):
            await asyncio.get_running_loop().run_in_executor(None, gates[name].wait)
            if name == "bad":
                raise RuntimeError

    queue.attach(Slow())
    for name in gates:
        queue.log_event_async(name, {})
    assert queue.flush(10)
    assert (queue.counters.delivered, queue.counters.dropped) == (0, {})
    gates["good"].set()
    gates["bad"].set()
    while queue._coroutines._under_way > 1:
        threading.Event().wait(0.001)
    assert (queue.counters.delivered, queue.counters.dropped) == (1, {"sink_error": 1})
    queue.close(0)
    gates["stuck"].set()
    while queue._coroutines._under_way:
        threading.Event().wait(0.001)
    assert (queue.counters.delivered, queue.counters.dropped) == (1, {"sink_error": 1, "shutdown": 1})


@pytest.mark.parametrize("error", [SystemExit, asyncio.CancelledError, KeyboardInterrupt])
def test_whatever_a_sink_raises_it_gets_the_next_event(queue, error):
    class Quitter(Recorder):
        def log_event(self, name, metadata):
            if name == "first":
                raise error
            super().log_event(name, metadata)

    quitter = Quitter()
    queue.attach(quitter)
    queue.log_event("first", {})
    queue.log_event("second", {})
    assert queue.flush(10)
    assert quitter.seen == [("second", {})]
    assert queue.counters.dropped == {"sink_error": 1}


def test_log_event_async_may_be_awaited_or_not_with_or_without_a_loop(queue):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        queue.log_event_async("not_awaited", {})
        asyncio.run(queue.log_event_async("run", {}))

        async def main():
            await queue.log_event_async("awaited", {})
            await asyncio.gather(queue.log_event_async("gathered", {}))
            await asyncio.create_task(queue.log_event_async("task", {}))

        asyncio.run(main())
    recorder = Recorder()
    queue.attach(recorder)
    assert queue.flush(10)
    assert [name for name, _ in recorder.seen] == [
        f"async {name}" for name in ("not_awaited", "run", "awaited", "gathered", "task")
    ]


@pytest.mark.parametrize("name", ["", "two words", "/etc/passwd", "_PROTO_x", 7])
def test_names_of_events_are_identifiers(queue, name):
    with pytest.raises(UnsafeMetadata):
        queue.log_event(name, {})


def test_personal_values_travel_under_proto_keys(queue):
    recorder = Recorder()
    queue.attach(recorder)
    queue.log_event("a", {"n": 1}, pii={"email": i_verified_this_is_pii_tagged("ada@example.org")})
    assert queue.flush(10)
    assert recorder.seen == [("a", {"n": 1, "_PROTO_email": "ada@example.org"})]


def test_a_forked_child_delivers_its_own_events_and_not_its_parents(queue):
    read_end, write_end = os.pipe()

    class Pipe(Recorder):
        def log_event(self, name, metadata):
            os.write(write_end, f"{os.getpid()} {name}\n".encode())

    queue.log_event("parent_before", {})
    gate = threading.Event()
    held = EventQueue(linger_s=0)  # its thread waits inside the sink when the fork happens

    class Stuck(Recorder):
        def log_event(self, name, metadata):
            gate.wait()

    held.attach(Stuck())
    held.log_event("parent_stuck", {})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # threads and fork: the point of this test
        child = os.fork()
    if child == 0:
        queue.attach(Pipe())
        queue.log_event("child", {})
        os._exit(0 if queue.flush(10) and len(held) == 0 else 1)
    queue.attach(Pipe())
    assert os.waitpid(child, 0)[1] == 0
    assert queue.flush(10)
    gate.set()
    held.close()
    os.close(write_end)
    with os.fdopen(read_end) as lines:
        assert sorted(lines.read().split("\n")) == sorted(
            ["", f"{child} child", f"{os.getpid()} parent_before"]
        )
