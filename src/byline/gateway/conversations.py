"""The last large body of each client, so that the next one need not be read from the beginning.

This is the one place where prompt text outlives its request: in memory alone, bounded in bytes, and
for no longer than a provider's own prompt cache keeps it.
"""

from __future__ import annotations

from byline.wire.compact import CompactText
from byline.wire.growing import KnownText, remember

MIN_BYTES = 32 * 1024
"""Smaller bodies are read faster than they are looked after."""
MAX_KEPT_BYTES = 24 * 1024 * 1024
KEPT_S = 300.0
_TRIES = 3
"""Fruitless ones in a row, after which a client's bodies are remembered no more."""


class _Kept:
    __slots__ = ("fruitless", "text", "until")

    def __init__(self) -> None:
        self.text: KnownText | None = None
        self.fruitless = 0
        self.until = 0.0


class Conversations:
    """By the serial of a known head. One per worker."""

    def __init__(self) -> None:
        self._kept: dict[bytes, _Kept] = {}
        """The one remembered longest ago first."""
        self._bytes = 0

    def find(self, serial: bytes, data: bytes, begin: int) -> KnownText | None:
        """What was read of the text that `data[begin:]` continues."""
        kept = self._kept.get(serial)
        if kept is None or kept.text is None:
            return None
        if not kept.text.covers(data, begin):
            kept.fruitless += 1
            return None
        kept.fruitless = 0
        return kept.text

    def keep(self, serial: bytes, text: memoryview, found: CompactText, now: float) -> None:
        kept = self._kept.pop(serial, None) or _Kept()
        self._kept[serial] = kept
        kept.until = now + KEPT_S
        self._drop(kept)
        if kept.fruitless >= _TRIES:
            return
        kept.text = remember(text, found)
        if kept.text is None:
            kept.fruitless = _TRIES
            return
        self._bytes += kept.text.kept_bytes
        while self._bytes > MAX_KEPT_BYTES:
            self._drop(self._kept.pop(next(iter(self._kept))))

    def check_deadlines(self, now: float) -> None:
        for serial in [serial for serial, kept in self._kept.items() if kept.until <= now]:
            self._drop(self._kept.pop(serial))

    def _drop(self, kept: _Kept) -> None:
        if kept.text is not None:
            self._bytes -= kept.text.kept_bytes
            kept.text = None
