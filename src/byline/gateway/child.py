"""One supervised process through its lives: started, ready, ended, due again.

Waits for nothing; the supervisor's loop asks and tells.
"""

from __future__ import annotations

import logging
import os
import selectors
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from byline.gateway.supervised import VARIABLE, variable_for

_log = logging.getLogger("byline.supervisor")
NEVER = float("inf")


@dataclass(frozen=True, slots=True)
class ChildPlan:
    """A process to keep running. It calls `Supervised.attach` early and `ready` when it works."""

    name: str
    argv: Sequence[str]
    stop_timeout_s: float
    """From SIGTERM until it is killed."""


@dataclass(frozen=True, slots=True)
class RestartPolicy:
    first_pause_s: float = 0.05
    longest_pause_s: float = 10.0
    """Pauses double while a child dies before it has worked for `stable_s`."""
    stable_s: float = 1.0


class Spawner:
    """Starts a child with its end of the lifeline and a pipe to say that it is ready."""

    def __init__(self, environ: Mapping[str, str], lifeline: int, held_fds: Sequence[int]) -> None:
        self._environ = environ
        self._lifeline = lifeline
        self._held_fds = tuple(held_fds)

    def __call__(self, argv: Sequence[str]) -> tuple[subprocess.Popen[bytes], int]:
        """The process, and the end of the pipe to read."""
        ready, ready_end = os.pipe()
        try:
            process = subprocess.Popen(  # noqa: S603 - the caller's own argument lists
                argv,
                stdin=subprocess.DEVNULL,
                env={**self._environ, VARIABLE: variable_for(self._lifeline, ready_end, self._held_fds)},
                pass_fds=(self._lifeline, ready_end, *self._held_fds),
                # A group of its own, or Ctrl-C would reach all at once and not in order.
                process_group=0,
            )
        except BaseException:
            os.close(ready)
            raise
        finally:
            os.close(ready_end)
        os.set_blocking(ready, False)
        return process, ready


class Child:
    """One child through its lives."""

    def __init__(
        self, plan: ChildPlan, spawn: Spawner, policy: RestartPolicy, now: Callable[[], float]
    ) -> None:
        self.plan = plan
        self.is_ready = False
        self.was_ready = False
        self._has_lived = False
        self._spawn, self._policy, self._now = spawn, policy, now
        self._process: subprocess.Popen[bytes] | None = None
        self._ready_fd: int | None = None
        self._ready_at = 0.0
        self._pause_s = policy.first_pause_s
        self._start_at = now()
        self._kill_at = NEVER

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process is not None else None

    def is_due(self) -> bool:
        return self._process is None and self._now() >= self._start_at

    def restart_in(self) -> float:
        return NEVER if self._process is not None else max(self._start_at - self._now(), 0.0)

    def is_overdue(self) -> bool:
        return self._now() >= self._kill_at

    def overdue_in(self) -> float:
        return max(self._kill_at - self._now(), 0.0)

    def start(self, selector: selectors.BaseSelector) -> None:
        self.is_ready = False
        self._process, self._ready_fd = self._spawn(self.plan.argv)
        if self._has_lived:
            _log.info("%s was started again (pid %d)", self.plan.name, self._process.pid)
        self._has_lived = True
        selector.register(self._ready_fd, selectors.EVENT_READ, self)

    def hear(self, selector: selectors.BaseSelector) -> None:
        """Its ready pipe has something: the word, or its end."""
        assert self._ready_fd is not None
        try:
            said = os.read(self._ready_fd, 64)
        except BlockingIOError:  # ended, while a process of its own holds the pipe
            said = b""
        if said:
            self.is_ready = self.was_ready = True
            self._ready_at = self._now()
        selector.unregister(self._ready_fd)
        os.close(self._ready_fd)
        self._ready_fd = None

    def reap(self, selector: selectors.BaseSelector) -> int | None:
        """Its exit code if it has just ended; the next start is planned then."""
        if self._process is None or self._process.poll() is None:
            return None
        code = self._process.returncode
        self._process = None
        if self._ready_fd is not None:
            self.hear(selector)
        self._plan_restart()
        _log.log(
            logging.INFO if self._kill_at < NEVER else logging.WARNING,
            "%s ended (%s)",
            self.plan.name,
            _how(code),
        )
        return code

    def _plan_restart(self) -> None:
        now = self._now()
        if self.is_ready and now - self._ready_at >= self._policy.stable_s:
            self._pause_s = self._policy.first_pause_s
        self._start_at = now + self._pause_s
        self._pause_s = min(self._pause_s * 2, self._policy.longest_pause_s)
        self.is_ready = False

    def send(self, number: int) -> None:
        if self._process is not None:
            self._process.send_signal(number)

    def terminate(self) -> None:
        self.send(signal.SIGTERM)
        self._kill_at = self._now() + self.plan.stop_timeout_s

    def kill(self) -> None:
        self.send(signal.SIGKILL)
        self._kill_at = NEVER

    def end(self) -> None:
        """Kill it and wait for that."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
        if self._ready_fd is not None:
            os.close(self._ready_fd)
            self._ready_fd = None


def _how(code: int) -> str:
    return f"exit code {code}" if code >= 0 else signal.Signals(-code).name
