"""One turn of the event loop: what came in it is worked off step by step, each step for all that came.

A processor has some 32 KB of instructions at hand, and one request leads it through many times that. Request by
request it would fetch them anew for each; step by step costs a sixth less (docs/decisions/0010). A lone
request loses nothing, and nothing waits longer than the turn it came in.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Protocol, TypeVar

from byline.gateway.exchange import Clock, Exchange, Moment

Callback = Callable[[], object]
Item = TypeVar("Item")
log = logging.getLogger(__name__)


class Answer(Protocol):
    """One that came whole, in the order of its steps. A step that fails leaves the next ones to be done."""

    def relay(self) -> None:
        """To the client: before anything of it is read."""
        ...

    def meter(self) -> None: ...
    def record(self, ended: Moment) -> None:
        """`ended` is the same for all of the turn."""
        ...


class Turn:
    """One per worker. `call_soon` is the event loop's: what it is given runs once all sockets were read."""

    def __init__(self, call_soon: Callable[[Callback], object], clock: Clock) -> None:
        self._call_soon = call_soon
        self._clock = clock
        self._answers: list[Answer] = []
        self._requests: list[Exchange] = []
        self._endings: list[Callback] = []
        self._is_due = False
        self.send: Callable[[Exchange], object] = _nowhere
        """What is done with a request."""
        self.is_under_way = False
        """Answers may still hold what they are about to give back: send nothing past them."""

    def take_answer(self, answer: Answer) -> None:
        self._answers.append(answer)
        if not self._is_due:
            self._schedule()

    def take_request(self, exchange: Exchange) -> None:
        """Sent behind the answers, which may have given back what it needs: a connection, a reservation."""
        self._requests.append(exchange)
        if not self._is_due:
            self._schedule()

    def at_end(self, ending: Callback) -> None:
        """Behind all the others: for what is done once for all of them."""
        self._endings.append(ending)
        if not self._is_due:
            self._schedule()

    def _schedule(self) -> None:
        self._is_due = True
        self._call_soon(self._run)

    def _run(self) -> None:
        self.is_under_way = True
        try:
            while self._has_more():
                self._work_off()
        finally:
            self._is_due = self.is_under_way = False
            if self._has_more():  # the process was told to end in the middle of it
                self._schedule()

    def _has_more(self) -> bool:
        return bool(self._answers or self._requests or self._endings)

    def _work_off(self) -> None:
        answers, self._answers = self._answers, []
        requests, self._requests = self._requests, []
        if answers:
            _each(answers, lambda answer: answer.relay())
            _each(answers, lambda answer: answer.meter())
            _each([answers], self._record)
        _each(requests, self.send)
        endings, self._endings = self._endings, []
        _each(endings, lambda ending: ending())

    def _record(self, answers: list[Answer]) -> None:
        ended = self._clock.moment()
        _each(answers, lambda answer: answer.record(ended))


def _each(items: list[Item], step: Callable[[Item], object]) -> None:
    """What fails costs nobody else anything, unless the process is told to end."""
    for item in items:
        try:
            step(item)
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException:
            log.exception("a step of a request failed")


def _nowhere(_: Exchange) -> None:
    raise RuntimeError("a request came before there was anybody to send it")
