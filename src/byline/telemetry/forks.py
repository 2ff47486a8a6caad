"""Calls a method in every forked child, for as long as its object lives."""

from __future__ import annotations

import os
from collections.abc import Callable
from weakref import WeakMethod


def after_fork_in_child(method: Callable[[], None]) -> None:
    """The child has one thread: locks held elsewhere stay held for ever, so they must be replaced."""
    reference = WeakMethod(method)

    def call() -> None:
        if (alive := reference()) is not None:
            alive()

    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=call)
