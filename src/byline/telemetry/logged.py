"""An event as it waits in the queue."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import cast

import msgspec

from byline.telemetry.metadata import EventValues


class Logged(msgspec.Struct, gc=False):
    """Unlike a tuple it is nothing that the garbage collector looks through, which would take longer for each
    event than all else when thousands wait."""

    name: str
    values: EventValues
    is_async: bool = False
    at: float = msgspec.field(default_factory=time.time)
    """Epoch seconds."""
    context: object = None


def logged_type(now: Callable[[], float], context: Callable[[], object] | None) -> type[Logged]:
    """One that asks these two itself when it is made, which is quicker than being handed the answers."""
    asked: list[tuple[str, type, object]] = [("at", float, msgspec.field(default_factory=now))]
    if context is not None:
        asked.append(("context", object, msgspec.field(default_factory=context)))
    return cast("type[Logged]", msgspec.defstruct("Logged", asked, bases=(Logged,), gc=False))
