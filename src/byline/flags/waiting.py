"""Lets a thread wait for time, for a socket, and for other threads that want it."""

from __future__ import annotations

import select
import socket
from contextlib import suppress
from typing import Final

LONGEST_WAIT_S: Final = 3600.0
"""The kernel takes no infinity, and a look once an hour costs nothing."""


class Waiter:
    """`wake` may be called from any thread and any number of times; `wait` belongs to one thread."""

    def __init__(self) -> None:
        self._receiver, self._sender = socket.socketpair()
        self._receiver.setblocking(False)
        self._sender.setblocking(False)

    def wake(self) -> None:
        # A full buffer means that a wake-up is under way already; a closed one, that nobody waits.
        with suppress(OSError):
            self._sender.send(b".")

    def wait(self, timeout_s: float, other: socket.socket | None = None) -> None:
        """Until woken, until `other` can be read, or for `timeout_s`."""
        poll = select.poll()
        for each in (self._receiver, other):
            if each is not None:
                poll.register(each, select.POLLIN)
        poll.poll(min(max(0.0, timeout_s), LONGEST_WAIT_S) * 1000)
        with suppress(BlockingIOError):
            while self._receiver.recv(4096):
                pass

    def close(self) -> None:
        self._receiver.close()
        self._sender.close()
