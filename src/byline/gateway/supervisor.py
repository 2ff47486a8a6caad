"""Starts processes, starts them again when they die, and stops them in order.

Knows argument lists and nothing of what they do. One thread, no event loop: it must outlive
everything it looks after.

A dead child is replaced without waiting for what it left behind to be recovered: the replacement has
a journal of its own, and the process that drains journals recovers the dead one's first.
"""

from __future__ import annotations

import logging
import os
import selectors
import signal
import socket
import time
from collections import deque
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from types import FrameType

from byline.gateway.child import NEVER, Child, ChildPlan, RestartPolicy, Spawner

_log = logging.getLogger("byline.supervisor")
_STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Supervisor:
    """`run` returns when everything was stopped; 0 if that went in time."""

    def __init__(
        self,
        stages: Sequence[Sequence[ChildPlan]],
        *,
        environ: Mapping[str, str],
        on_ready: Callable[[], None],
        held_fds: Sequence[int] = (),
        policy: RestartPolicy | None = None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        """`stages` start together and stop one after the other, the first first. `on_ready` is called
        once, when all are up. `held_fds` stay open in every child, so that a lock lasts as long as
        any of them.
        """
        self._lifeline, self._lifeline_end = os.pipe()
        self._now = now
        self._on_ready = on_ready
        self._announced = False
        self._signals: deque[int] = deque()
        self._selector = selectors.DefaultSelector()
        spawn = Spawner(environ, self._lifeline, held_fds)
        rules = policy or RestartPolicy()
        self._stages = [[Child(plan, spawn, rules, now) for plan in stage] for stage in stages]
        self._children = [child for stage in self._stages for child in stage]

    def run(self) -> int:
        with self._receiving_signals():
            try:
                failed = self._serve()
                return max(failed, self._stop())
            finally:
                for child in self._children:
                    child.end()
                self._selector.close()
                os.close(self._lifeline)
                os.close(self._lifeline_end)

    def pids(self) -> dict[str, int]:
        """Of the children that run now."""
        return {child.plan.name: child.pid for child in self._children if child.pid is not None}

    def _serve(self) -> int:
        """Until a signal says stop. 1 when the start failed."""
        while not self._stop_asked():
            for child in self._children:
                if child.is_due():
                    child.start(self._selector)
            self._wait(min((child.restart_in() for child in self._children), default=None))
            for child in self._children:
                code = child.reap(self._selector)
                if code is not None and code > 0 and not self._announced and not child.was_ready:
                    _log.error("%s could not start; stopping", child.plan.name)
                    return 1
            self._announce_once()
        _log.info("stopping; a second signal ends at once what is still under way")
        return 0

    def _announce_once(self) -> None:
        if not self._announced and all(child.is_ready for child in self._children):
            self._announced = True
            self._on_ready()

    def _stop(self) -> int:
        """A second stop signal kills what is being waited for."""
        overdue = 0
        for stage in self._stages:
            for child in stage:
                child.terminate()
            while running := [child for child in stage if child.pid is not None]:
                hurried = self._stop_asked()
                for child in running:
                    if hurried or child.is_overdue():
                        overdue |= not hurried
                        child.kill()
                self._wait(min(child.overdue_in() for child in running))
                for child in running:
                    child.reap(self._selector)
        return int(overdue)

    def _stop_asked(self) -> bool:
        """Takes the signals that came; SIGHUP goes on to the children."""
        stop = False
        while self._signals:
            number = self._signals.popleft()
            if number == signal.SIGHUP:
                for child in self._children:
                    child.send(number)
            stop = stop or number in _STOP_SIGNALS
        return stop

    def _wait(self, timeout_s: float | None) -> None:
        for key, _ in self._selector.select(timeout_s if timeout_s != NEVER else None):
            if isinstance(key.data, Child):
                key.data.hear(self._selector)
            else:
                assert isinstance(key.fileobj, socket.socket)
                key.fileobj.recv(4096)

    @contextmanager
    def _receiving_signals(self) -> Generator[None]:
        """Signals only take a note and wake the loop."""
        woken, waker = socket.socketpair()
        woken.setblocking(False)
        waker.setblocking(False)
        self._selector.register(woken, selectors.EVENT_READ)
        numbers = (*_STOP_SIGNALS, signal.SIGHUP, signal.SIGCHLD)
        before = {number: signal.signal(number, self._note) for number in numbers}
        wakeup_before = signal.set_wakeup_fd(waker.fileno(), warn_on_full_buffer=False)
        try:
            yield
        finally:
            signal.set_wakeup_fd(wakeup_before)
            for number, handler in before.items():
                signal.signal(number, handler)
            woken.close()
            waker.close()

    def _note(self, number: int, _frame: FrameType | None) -> None:
        if number != signal.SIGCHLD:
            self._signals.append(number)
