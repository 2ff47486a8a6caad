"""Answers' headers kept as they came, and read for the quota when somebody asks.

Reading takes longer than everything else that is done beside a call, and a program asks for its quota
far less often than it calls.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from threading import RLock
from typing import Any, Final
from weakref import WeakSet

from byline.quota.runtime import Listener, QuotaRuntime
from byline.quota.snapshot import QuotaSnapshot

MOST_UNREAD: Final = 64
"""So many heads are held, some kilobytes each. Reading them then is a few microseconds for each call."""

_Head = tuple[Mapping[str, str], float, int, str]
"""Headers, epoch seconds, status, credential: a plain tuple, as one is made for every call."""


class KeptQuota:
    """Asking waits for nothing but the reading. Who listens has each answer read at once instead."""

    def __init__(self) -> None:
        self._quota = QuotaRuntime()
        self._unread: deque[_Head] = deque()
        self._renew_lock()
        _all.add(self)

    def keep(self, headers: Mapping[str, str], *, now: float, status_code: int, credential: str) -> None:
        if self._quota.has_listeners:
            self._catch_up()
            with self._lock:
                news = self._quota.take(headers, now=now, status_code=status_code, credential=credential)
            if news is not None:
                self._quota.tell(*news)
            return
        self._unread.append((headers, now, status_code, credential))
        if len(self._unread) >= MOST_UNREAD:
            self._catch_up()

    def snapshot(self, credential: str | None = None) -> QuotaSnapshot | None:
        """The latest of `credential`; without one, of the credential that answered last."""
        self._catch_up()
        return self._quota.snapshot(credential)

    def on_change(self, listener: Listener) -> Callable[[], None]:
        """Registers `listener` for what comes; calling what is returned takes it off again."""
        self._catch_up()
        return self._quota.on_change(listener)

    def _catch_up(self) -> None:
        """Listeners are told when the lock is free again: they may wait for threads that wait for it."""
        take = self._quota.take
        with self._lock:
            found = [
                take(headers, now=at, status_code=status, credential=credential)
                for headers, at, status, credential in _latest_of_each_kind(self._unread)
            ]
        for news in found:
            if news is not None:
                self._quota.tell(*news)

    def _renew_lock(self) -> None:
        """Re-entrant: a signal handler may ask while an answer is read."""
        self._lock = RLock()


def _latest_of_each_kind(heads: deque[_Head]) -> Iterable[_Head]:
    """Empties `heads`; the earliest comes first. Of those that speak of the same limits only the last counts."""
    latest: dict[object, _Head] = {}
    while heads:
        head = heads.popleft()
        headers, at, status, credential = head
        kind = credential, status, _said(headers)
        if kind in latest:
            if latest[kind][1] > at:
                continue
            del latest[kind]  # so that it stands behind those of the same time
        latest[kind] = head
    return sorted(latest.values(), key=lambda head: head[1])


def _said(headers: Mapping[str, str]) -> tuple[object, ...]:
    """Names of what has a value: they decide which limits an answer describes."""
    # httpx decodes every name and value for `items`, which takes five times as long.
    pairs: Any = getattr(headers, "raw", None) or headers.items()
    return tuple([name for name, value in pairs if value])


_all: WeakSet[KeptQuota] = WeakSet()


def _renew_locks() -> None:
    """The thread that may have held one stayed with the parent."""
    for kept in list(_all):
        kept._renew_lock()  # pyright: ignore[reportPrivateUsage] - the same module


os.register_at_fork(after_in_child=_renew_locks)
