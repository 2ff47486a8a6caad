"""What clients are sending: how much of it a worker holds in memory at once, and how slowly it may come."""

from __future__ import annotations

from collections.abc import MutableMapping

import msgspec

from byline.gateway.http1.body import BodyReceiver, SizedBody, receive_body
from byline.gateway.http1.errors import ProtocolError
from byline.gateway.http1.request_head import RequestHead

REFUSED = "uploads_over_memory"
"""The count of bodies that found no room."""


class UploadLimits(msgspec.Struct, frozen=True):
    max_body_bytes: int = 64 * 1024 * 1024
    max_buffered_bytes: int = 1024 * 1024 * 1024
    """Of all bodies that are being received together."""
    pause_s: float = 60.0
    """Longest silence inside a body."""
    min_bytes_per_s: int = 4096
    """What a body must bring on average once `pause_s` has gone by; 0: no such bound."""


class Uploads:
    """One per worker."""

    def __init__(self, limits: UploadLimits, counts: MutableMapping[str, int]) -> None:
        self.limits = limits
        self.held_bytes = 0
        self._counts = counts

    def receive(self, head: RequestHead, now: float) -> Upload:
        return Upload(self, receive_body(head, self.limits.max_body_bytes), now, keeps=True)

    def pass_over(self, size: int, now: float) -> Upload:
        """The body of a request that was answered before it came."""
        return Upload(self, SizedBody(size, keep=False), now, keeps=False)

    def hold(self, size: int) -> None:
        """Raises ProtocolError(503) where it would be too much together."""
        if self.held_bytes + size > self.limits.max_buffered_bytes:
            self._counts[REFUSED] = self._counts.get(REFUSED, 0) + 1
            message = "this gateway is receiving as many large requests as it has memory for: send this again"
            raise ProtocolError(503, message, [("retry-after", "1")])
        self.held_bytes += size


class Upload:
    """One body on its way. Ended by `whole` or by `give_up`."""

    __slots__ = ("_began_at", "_held_bytes", "_keeps", "_receiver", "_uploads", "received_bytes")

    def __init__(self, uploads: Uploads, receiver: BodyReceiver, began_at: float, *, keeps: bool) -> None:
        self._uploads = uploads
        self._receiver = receiver
        self._began_at = began_at
        self._keeps = keeps
        self._held_bytes = 0
        self.received_bytes = 0

    @property
    def done(self) -> bool:
        return self._receiver.done

    def take(self, data: bytes) -> bytes:
        """What lies beyond the body. Raises ProtocolError."""
        rest = self._receiver.take(data)
        came = len(data) - len(rest)
        self.received_bytes += came
        if self._keeps and not self._receiver.done:  # else it is on its way out of here
            self._uploads.hold(came)
            self._held_bytes += came
        return rest

    def whole(self) -> bytes:
        self.give_up()
        return self._receiver.whole()

    def give_up(self) -> None:
        """Nothing of it is held here any longer."""
        self._uploads.held_bytes -= self._held_bytes
        self._held_bytes = 0

    def deadline(self, now: float) -> float:
        """When more must have come. A body that trickles in must not hold its connection for ever."""
        limits = self._uploads.limits
        silent_until = now + limits.pause_s
        if not limits.min_bytes_per_s:
            return silent_until
        return min(
            silent_until, self._began_at + limits.pause_s + self.received_bytes / limits.min_bytes_per_s
        )
