"""What large bodies began and ended with, so that the next one of a conversation need not be read whole.

A client has several conversations at a time where it runs agents of its own. Of a body are kept
digests under a key of this process, the names of its members, and the few small members that matter.
"""

from __future__ import annotations

from byline.wire.compact import CompactText
from byline.wire.growing import KnownText, remember
from byline.wire.keyed_digest import new_keyed_digest

MIN_BYTES = 16 * 1024
"""Smaller bodies are read as fast as they are looked up."""
MAX_CLIENTS = 2048
MAX_PER_CLIENT = 4
_TRIES = 8
"""Bodies in a row that continue nothing, after which remembering a client's is not worth its cost."""
_TRY_AGAIN = 64
"""Of further such bodies one in so many is remembered all the same: clients change."""


class _Client:
    __slots__ = ("fruitless", "texts")

    def __init__(self) -> None:
        self.texts: list[KnownText] = []
        """The newest last."""
        self.fruitless = 0


class Conversations:
    """By the serial of a known head. One per worker."""

    def __init__(self) -> None:
        self._digest = new_keyed_digest()
        self._clients: dict[bytes, _Client] = {}
        """The one remembered longest ago first."""

    def find(self, serial: bytes, text: memoryview) -> KnownText | None:
        """What was read of the text that this one continues."""
        client = self._clients.get(serial)
        if client is None:
            return None
        for known in reversed(client.texts):
            if known.covers(text):
                client.fruitless = 0
                return known
        client.fruitless += 1
        return None

    def keep(self, serial: bytes, text: memoryview, found: CompactText) -> None:
        client = self._clients.pop(serial, None) or _Client()
        if len(self._clients) >= MAX_CLIENTS:
            del self._clients[next(iter(self._clients))]
        self._clients[serial] = client
        if client.fruitless >= _TRIES and client.fruitless % _TRY_AGAIN:
            client.texts.clear()
            return
        known = remember(text, found, self._digest)
        if known is None:
            client.fruitless += 1
            return
        del client.texts[: -(MAX_PER_CLIENT - 1)]
        client.texts.append(known)
