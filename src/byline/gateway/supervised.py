"""A child's side of supervision: says that it is ready, and ends when its supervisor does.

Used by whatever process the supervisor starts; it works, and does nothing, without one.
"""

from __future__ import annotations

import ctypes
import os
import select
import signal
import sys
import threading
from collections.abc import Iterable, MutableMapping

VARIABLE = "BYLINE_SUPERVISED"
_PR_SET_PDEATHSIG = 1  # prctl(2)


def variable_for(lifeline: int, ready: int, held: Iterable[int]) -> str:
    """What the supervisor puts into the child's environment under `VARIABLE`."""
    return ",".join(str(fd) for fd in (lifeline, ready, *held))


class Supervised:
    """Made by `attach`, early: until then the child may outlive its supervisor."""

    def __init__(self, ready: int | None = None) -> None:
        self._ready = ready

    @classmethod
    def attach(cls, environ: MutableMapping[str, str]) -> Supervised:
        """Bind this process's life to its supervisor's; exits at once if that is gone already.

        Takes `VARIABLE` out of `environ`. SIGHUP is ignored unless a handler is set afterwards.
        """
        given = environ.pop(VARIABLE, None)
        if given is None:
            return cls()
        lifeline, ready, *held = (int(fd) for fd in given.split(","))
        for fd in (lifeline, ready, *held):
            os.set_inheritable(fd, False)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        _die_with_supervisor(lifeline)
        return cls(ready)

    def ready(self) -> None:
        """This process does its work now. Only the first call counts."""
        if self._ready is not None:
            os.write(self._ready, b"ready\n")
            os.close(self._ready)
            self._ready = None


def _die_with_supervisor(lifeline: int) -> None:
    """Killed outright rather than stopped: what a crash leaves is recovered by the next server, which
    can't start before this one's ports and files are free."""
    bound = ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) == 0
    if not bound:
        threading.Thread(target=_exit_at_end_of, args=(lifeline,), daemon=True).start()
    # The kernel tells nobody of a death that came before the request.
    elif select.select([lifeline], [], [], 0)[0]:
        sys.exit(1)


def _exit_at_end_of(lifeline: int) -> None:
    os.read(lifeline, 1)
    os._exit(1)
