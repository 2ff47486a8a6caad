from __future__ import annotations

import threading
from collections.abc import Sequence

import pytest

from byline.runtime.outbox import Outbox, OutboxOptions, Undeliverable

AT_ONCE = OutboxOptions(gather_s=0.0, first_retry_s=0.001, longest_retry_s=0.001)


def test_items_are_delivered_in_order_off_the_callers_thread():
    delivered: list[int] = []
    threads: set[str] = set()

    def deliver(items: Sequence[int]) -> None:
        threads.add(threading.current_thread().name)
        delivered.extend(items)

    outbox = Outbox("numbers", deliver)
    assert all(outbox.put(number) for number in range(1000))
    assert outbox.flush(10)
    assert delivered == list(range(1000))
    assert threads == {"byline-numbers"}
    outbox.close()


def test_no_thread_begins_without_an_item():
    before = threading.active_count()
    outbox = Outbox[int]("idle", lambda items: None)
    assert outbox.flush(0)
    outbox.close()
    assert threading.active_count() == before


def test_what_finds_no_room_is_dropped_and_counted():
    going, go = threading.Event(), threading.Event()

    def deliver(items: Sequence[int]) -> None:
        going.set()
        go.wait(10)

    outbox = Outbox("slow", deliver, OutboxOptions(capacity=2, gather_s=0.0))
    assert outbox.put(0)
    assert going.wait(10)
    assert [outbox.put(number) for number in range(4)] == [True, True, False, False]
    assert outbox.counters.dropped == 2
    go.set()
    outbox.close(10)
    assert outbox.counters.delivered == 3


def test_a_failure_is_tried_again_until_it_passes(caplog):
    attempts: list[list[str]] = []

    def deliver(items: Sequence[str]) -> None:
        attempts.append(list(items))
        if len(attempts) < 3:
            raise OSError("away")

    outbox = Outbox("flaky", deliver, AT_ONCE)
    outbox.put("row")
    assert outbox.flush(10)
    assert attempts == [["row"]] * 3
    assert (outbox.counters.failures, outbox.counters.delivered) == (2, 1)
    assert len(caplog.messages) == 1
    outbox.close()


def test_the_undeliverable_is_dropped_at_once():
    def deliver(items: Sequence[str]) -> None:
        raise Undeliverable("nobody takes this")

    outbox = Outbox("lost", deliver, AT_ONCE)
    outbox.put("row")
    assert outbox.flush(10)
    assert (outbox.counters.dropped, outbox.counters.failures) == (1, 0)
    outbox.close()


def test_closing_gives_up_what_cannot_be_delivered():
    def deliver(items: Sequence[str]) -> None:
        raise OSError("away")

    outbox = Outbox("gone", deliver, AT_ONCE)
    outbox.put("row")
    outbox.close(0.0)
    assert not outbox.put("late")
    assert outbox.counters.dropped >= 1


@pytest.fixture(autouse=True)
def _quiet(caplog):
    from byline.runtime import quiet

    quiet._said.clear()
