"""Answers whose client has gone, read on for their usage: bounded in time, number and bytes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import msgspec


class DrainLimits(msgspec.Struct, frozen=True):
    timeout_s: float = 30.0
    """0 cancels at once."""
    max_bytes: int = 16 * 1024 * 1024
    max_streams: int = 64


class Drainable(Protocol):
    drain_deadline: float
    drain_bytes_left: int

    def cancel(self) -> None: ...


class Drains:
    def __init__(self, limits: DrainLimits, now: Callable[[], float]) -> None:
        self.limits = limits
        self._now = now
        self._streams: set[Drainable] = set()

    def begin(self, stream: Drainable) -> bool:
        """False where no drain is to be had: cancel instead."""
        if self.limits.timeout_s <= 0 or len(self._streams) >= self.limits.max_streams:
            return False
        stream.drain_deadline = self._now() + self.limits.timeout_s
        stream.drain_bytes_left = self.limits.max_bytes
        self._streams.add(stream)
        return True

    def took(self, stream: Drainable, count: int) -> None:
        stream.drain_bytes_left -= count
        if stream.drain_bytes_left < 0:
            stream.cancel()

    def end(self, stream: Drainable) -> None:
        self._streams.discard(stream)

    def check_deadlines(self, now: float) -> None:
        for stream in [each for each in self._streams if each.drain_deadline <= now]:
            stream.cancel()

    def close(self) -> None:
        """Each is cancelled and marked; its partial usage is on its row."""
        for stream in list(self._streams):
            stream.cancel()

    def __len__(self) -> int:
        return len(self._streams)
