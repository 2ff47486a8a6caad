"""Who wants to hear of changes. Called on the refresh thread, one after the other."""

from __future__ import annotations

import logging
from collections.abc import Callable

log = logging.getLogger(__name__)

Listener = Callable[[frozenset[str]], object]
"""Gets the names whose values changed."""


class Subscription:
    def __init__(self, listener: Listener, listeners: dict[Subscription, None]) -> None:
        self._listener = listener
        self._listeners = listeners
        self._active = True

    def call(self, names: frozenset[str]) -> None:
        """Nothing once it has ended. What the listener raises is logged and harms nobody else."""
        if not self._active:
            return
        try:
            self._listener(names)
        except Exception:
            log.exception("a listener to feature changes failed")

    def end(self) -> None:
        """Harmless a second time."""
        self._active = False
        self._listeners.pop(self, None)


class Listeners:
    def __init__(self) -> None:
        self._subscriptions: dict[Subscription, None] = {}

    def add(self, listener: Listener) -> Subscription:
        subscription = Subscription(listener, self._subscriptions)
        self._subscriptions[subscription] = None
        return subscription

    def current(self) -> list[Subscription]:
        return list(self._subscriptions)
