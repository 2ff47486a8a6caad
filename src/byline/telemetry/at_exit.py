"""Calls a close when the program ends, also in children of `multiprocessing`, which skip `atexit`."""

from __future__ import annotations

import atexit
import os
import sys
from collections.abc import Callable
from weakref import WeakMethod


def close_at_exit(close: Callable[[], None]) -> None:
    reference, pid = WeakMethod(close), os.getpid()

    def call() -> None:
        # A child inherits its parent's registrations; it makes its own with its own first event.
        if pid == os.getpid() and (alive := reference()) is not None:
            alive()

    atexit.register(call)
    if "multiprocessing.util" in sys.modules:
        from multiprocessing import parent_process
        from multiprocessing.util import Finalize

        if parent_process() is not None:
            Finalize(None, call, exitpriority=0)
