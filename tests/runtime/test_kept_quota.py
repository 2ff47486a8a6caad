"""Answers kept unread: what a program is told in the end is what it would have been told at once."""

from __future__ import annotations

import os
import signal
import threading
import warnings
import weakref
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from byline.quota.reading import read_quota
from byline.quota.snapshot import QuotaSnapshot
from byline.runtime.kept_quota import MOST_UNREAD, KeptQuota

NOW = 1_795_000_000
PREFIX = "anthropic-ratelimit-unified-"


def headers(status: str = "allowed", five: str = "0.10", **more: str) -> dict[str, str]:
    given = {
        "status": status,
        "reset": str(NOW + 900),
        "representative-claim": "five_hour",
        "5h-utilization": five,
    }
    return {PREFIX + name.replace("_", "-"): value for name, value in (given | more).items()}


def answer(
    kept: KeptQuota, given: dict[str, str], *, now: float, status_code: int = 200, credential: str = "one"
) -> None:
    kept.keep(given, now=now, status_code=status_code, credential=credential)


def openai_headers(remaining: int, **more: str) -> dict[str, str]:
    counts = {"x-ratelimit-limit-requests": "100", "x-ratelimit-remaining-requests": str(remaining)}
    return counts | {name.replace("_", "-"): value for name, value in more.items()}


def test_an_answer_is_read_no_sooner_than_somebody_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    read = list[float]()

    def counting(*arguments: Any, now: float, **options: Any) -> QuotaSnapshot:
        read.append(now)
        return read_quota(*arguments, now=now, **options)

    monkeypatch.setattr("byline.quota.runtime.read_quota", counting)
    kept = KeptQuota()
    for second in range(10):
        answer(kept, headers(five=f"0.{second}"), now=NOW + second)
    assert read == []
    snapshot = kept.snapshot()
    assert snapshot is not None
    assert snapshot.windows["five_hour"].utilization == 0.9
    assert read == [NOW + 9]  # the others had nothing to say that this one doesn't
    assert kept.snapshot() is snapshot
    assert len(read) == 1


def test_no_more_than_some_dozens_of_answers_are_held() -> None:
    kept, held = KeptQuota(), list[weakref.ref[Any]]()
    for second in range(1000):
        given = Headers(headers())
        held.append(weakref.ref(given))
        answer(kept, given, now=NOW + second)
    del given
    assert sum(each() is not None for each in held) <= MOST_UNREAD


class Headers(dict[str, str]):
    """Can be referred to weakly."""


ANSWERS = st.tuples(
    st.sampled_from(["ana", "ben"]),
    st.sampled_from([200, 429]),
    st.sampled_from(
        [
            {},
            headers(),
            headers("rejected", "1.0"),
            headers(**{"7d_opus-utilization": "0.5", "7d_opus-status": "allowed"}),
            openai_headers(7),
            openai_headers(0, x_ratelimit_remaining_tokens="5"),
            {"x-codex-primary-used-percent": "40", "x-codex-secondary-used-percent": "60"},
            {"x-codex-primary-used-percent": "41", "x-codex-secondary-used-percent": ""},
        ]
    ),
)


def states(answers: list[tuple[int, Any]], *, at_once: bool) -> list[QuotaSnapshot | None]:
    kept = KeptQuota()
    if at_once:
        kept.on_change(lambda snapshot, notice: None)
    for second, (credential, status, given_headers) in answers:
        answer(kept, given_headers, now=NOW + second, status_code=status, credential=credential)
    return [kept.snapshot("ana"), kept.snapshot("ben")]


@given(st.lists(ANSWERS, max_size=3 * MOST_UNREAD))
def test_what_was_kept_unread_ends_in_the_same_state_as_what_was_read_at_once(answers: list[Any]) -> None:
    numbered = list(enumerate(answers))
    assert states(numbered, at_once=False) == states(numbered, at_once=True)


@given(st.lists(st.tuples(st.integers(0, 9), ANSWERS), max_size=MOST_UNREAD - 1))
def test_answers_that_come_late_are_read_in_the_order_of_their_times(answers: list[Any]) -> None:
    in_order = sorted(answers, key=lambda answer: answer[0])
    assert states(answers, at_once=False) == states(in_order, at_once=True)


def test_a_listener_hears_nothing_of_what_came_before_it() -> None:
    kept, heard = KeptQuota(), list[str]()
    answer(kept, headers("rejected"), now=NOW)
    kept.on_change(lambda snapshot, _: heard.append(snapshot.status))
    answer(kept, headers("rejected"), now=NOW + 1)
    assert heard == []
    answer(kept, headers(), now=NOW + 2)
    assert heard == ["allowed"]


def test_a_listener_may_ask() -> None:
    kept, asked = KeptQuota(), list[QuotaSnapshot | None]()
    kept.on_change(lambda *_: asked.append(kept.snapshot()))
    answer(kept, headers(), now=NOW)
    assert [snapshot is not None for snapshot in asked] == [True]


def test_a_signal_handler_may_ask_while_an_answer_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    kept, asked = KeptQuota(), list[QuotaSnapshot | None]()

    def interrupted(*arguments: Any, **options: Any) -> QuotaSnapshot:
        signal.raise_signal(signal.SIGUSR1)
        return read_quota(*arguments, **options)

    monkeypatch.setattr("byline.quota.runtime.read_quota", interrupted)
    before = signal.signal(signal.SIGUSR1, lambda *_: asked.append(kept.snapshot()))
    try:
        answer(kept, headers(), now=NOW)
        assert kept.snapshot() is not None
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert asked == [None]  # in the middle of the first reading nothing is known yet


def test_a_forked_child_knows_what_its_parent_knew_and_asks_without_waiting_for_it() -> None:
    kept = KeptQuota()
    answer(kept, headers(), now=NOW)
    taken, release = threading.Event(), threading.Event()

    def hold() -> None:
        with kept._lock:
            taken.set()
            release.wait(20)

    holder = threading.Thread(target=hold)
    holder.start()
    assert taken.wait(20)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # threads and fork: the point of this test
        child = os.fork()
    if child == 0:
        signal.alarm(20)
        os._exit(0 if kept.snapshot() is not None else 1)
    assert os.waitpid(child, 0)[1] == 0
    release.set()
    holder.join()


def test_threads_read_one_after_the_other_for_a_listener_who_may_wait_for_any_of_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kept = KeptQuota()
    alone = list[bool]()
    heard = list[object]()

    def reading(*arguments: Any, **options: Any) -> QuotaSnapshot:
        alone.append(not in_another_thread(lambda: kept._lock.acquire(blocking=False)))
        return read_quota(*arguments, **options)

    monkeypatch.setattr("byline.quota.runtime.read_quota", reading)
    kept.on_change(lambda snapshot, _: heard.append((snapshot, in_another_thread(kept.snapshot))))
    answer(kept, headers(five="0.10"), now=NOW)
    assert alone == [True]
    assert heard == [(kept.snapshot(), kept.snapshot())]


def in_another_thread(ask: Callable[[], object]) -> object:
    answers = list[object]()
    thread = threading.Thread(target=lambda: answers.append(ask()), daemon=True)
    thread.start()
    thread.join(20)
    return answers[0]
