"""What the refresh thread asks. A source keeps no state: the validator of the last good answer is handed in."""

from __future__ import annotations

from typing import Protocol

import msgspec

from byline.flags.payload import Payload
from byline.flags.snapshot import Features


class SourceError(Exception):
    """The source can't be had; the message names it, the reason and nothing secret."""


class Fetched(msgspec.Struct, frozen=True):
    features: Features
    validator: str | None = None
    """An ETag or its like: given to the next fetch, which may then answer that nothing is new."""
    payload: Payload | None = None
    """With its rules, where the source has them."""


class StreamAddress(msgspec.Struct, frozen=True):
    url: str
    headers: dict[str, str] = {}


class Source(Protocol):
    name: str
    """For people: what kind, and which host or file."""
    stream: StreamAddress | None
    """Where changes are announced by server-sent events."""

    def fetch(self, validator: str | None) -> Fetched | None:
        """None: nothing new since `validator`. Raises SourceError or PayloadRefused."""
        ...

    def read_event(self, data: bytes) -> Fetched:
        """What an event of the stream holds. Raises PayloadRefused."""
        ...
