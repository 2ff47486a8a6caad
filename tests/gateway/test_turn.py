"""What came in one turn of the loop is worked off step by step."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any, cast

import pytest

from byline.gateway.exchange import Clock, Exchange, Moment
from byline.gateway.turn import Turn


class Loop:
    """Runs what it is given when the test says so."""

    def __init__(self) -> None:
        self.ready: list[Callable[[], object]] = []
        self.now = 99.0

    def clock(self) -> float:
        """Each look at it takes a second."""
        self.now += 1
        return self.now

    def run(self) -> None:
        ready, self.ready = self.ready, []
        for callback in ready:
            callback()


class Answer:
    def __init__(self, done: list[str], name: str, fails_at: str = "") -> None:
        self._done, self._name, self._fails_at = done, name, fails_at

    def _step(self, step: str) -> None:
        if step == self._fails_at:
            raise RuntimeError(step)
        self._done.append(f"{step} {self._name}")

    def relay(self) -> None:
        self._step("relay")

    def meter(self) -> None:
        self._step("meter")

    def record(self, ended: Moment) -> None:
        self.ended = ended
        self._step("record")


@pytest.fixture
def loop() -> Loop:
    return Loop()


@pytest.fixture
def turn(loop: Loop) -> Turn:
    turn = Turn(lambda run: loop.ready.append(run), Clock(lambda: 1.8e9, loop.clock))
    turn.send = lambda exchange: cast("Any", exchange)()
    return turn


def request(send: Callable[[], object]) -> Exchange:
    """One that is sent by calling it."""
    return cast("Any", send)


def test_each_step_is_done_for_all_before_the_next_whatever_came_first(loop: Loop, turn: Turn) -> None:
    done: list[str] = []
    turn.at_end(lambda: done.append("write"))
    turn.take_request(request(lambda: done.append("send")))
    for name in "ab":
        turn.take_answer(Answer(done, name))
    loop.run()
    assert done == [
        "relay a", "relay b", "meter a", "meter b", "record a", "record b", "send", "write"
    ]  # fmt: skip


@pytest.mark.parametrize("step", ["relay", "meter", "record"])
def test_a_step_that_fails_costs_nobody_else_anything(loop: Loop, turn: Turn, step: str) -> None:
    done: list[str] = []
    turn.take_answer(Answer(done, "bad", fails_at=step))
    turn.take_answer(Answer(done, "good"))
    turn.at_end(lambda: done.append("write"))
    loop.run()
    assert [each for each in done if "bad" not in each] == [
        "relay good",
        "meter good",
        "record good",
        "write",
    ]
    assert len(done) == 6


@pytest.mark.parametrize("end", [KeyboardInterrupt, SystemExit])
def test_a_process_told_to_end_in_the_middle_leaves_the_rest_to_the_next_turn(
    loop: Loop, turn: Turn, end: type[BaseException]
) -> None:
    def stop() -> None:
        raise end

    done: list[str] = []
    turn.take_request(request(stop))
    turn.at_end(lambda: done.append("write"))
    with pytest.raises(end):
        loop.run()
    loop.run()
    assert done == ["write"]


def test_whatever_a_step_raises_the_turns_go_on(loop: Loop, turn: Turn) -> None:
    def cancelled() -> None:
        raise asyncio.CancelledError

    done: list[str] = []
    for _ in range(2):
        turn.take_request(request(cancelled))
        turn.at_end(lambda: done.append("write"))
        loop.run()
    assert done == ["write", "write"]


def test_it_is_under_way_while_it_works_and_not_before_or_after(loop: Loop, turn: Turn) -> None:
    seen: list[bool] = []
    turn.take_request(request(lambda: seen.append(turn.is_under_way)))
    seen.append(turn.is_under_way)
    loop.run()
    seen.append(turn.is_under_way)
    assert seen == [False, True, False]


def test_nothing_is_done_before_the_loop_has_read_all_sockets(loop: Loop, turn: Turn) -> None:
    done: list[str] = []
    turn.take_answer(Answer(done, "a"))
    assert done == []
    assert len(loop.ready) == 1


def test_one_turn_asks_the_loop_once_and_the_next_one_asks_again(loop: Loop, turn: Turn) -> None:
    for _ in range(2):
        turn.take_request(request(lambda: None))
        turn.at_end(lambda: None)
        turn.take_answer(Answer([], "a"))
        assert len(loop.ready) == 1
        loop.run()
    assert loop.ready == []


def test_what_a_step_leaves_for_the_end_is_done_in_the_same_turn(loop: Loop, turn: Turn) -> None:
    done: list[str] = []
    turn.take_request(request(partial(turn.at_end, partial(turn.at_end, lambda: done.append("last")))))
    loop.run()
    assert done == ["last"]
    assert loop.ready == []


def test_what_a_step_brings_anew_is_not_left_behind(loop: Loop, turn: Turn) -> None:
    done: list[str] = []
    turn.at_end(lambda: turn.take_answer(Answer(done, "late")))
    loop.run()
    assert done == ["relay late", "meter late", "record late"]


def test_all_of_a_turn_end_at_the_same_moment_behind_their_metering(loop: Loop, turn: Turn) -> None:
    answers = [Answer([], name) for name in "ab"]
    metered_at: list[float] = []
    for answer in answers:
        answer.meter = lambda: metered_at.append(loop.clock())
        turn.take_answer(answer)
    loop.run()
    assert answers[0].ended is answers[1].ended
    assert answers[0].ended.monotonic > max(metered_at)
    assert answers[0].ended.wall.timestamp() == 1.8e9


def test_a_request_that_nobody_was_named_for_is_logged(loop: Loop, caplog: pytest.LogCaptureFixture) -> None:
    turn = Turn(lambda run: loop.ready.append(run), Clock(lambda: 1.8e9, loop.clock))
    turn.take_request(request(lambda: None))
    loop.run()
    assert "before there was anybody to send it" in caplog.text
