"""What a peer got wrong in its framing."""

from __future__ import annotations

from collections.abc import Sequence


class ProtocolError(Exception):
    """A message that is malformed, ambiguous or over a limit: answer `status` and close.

    `str(error)` is safe to send to the client; it never quotes what came.
    """

    def __init__(self, status: int, message: str, headers: Sequence[tuple[str, str]] = ()) -> None:
        """`headers` go into the answer."""
        super().__init__(message)
        self.status = status
        self.headers = headers
