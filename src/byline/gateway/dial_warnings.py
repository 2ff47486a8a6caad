"""Says in the log that a provider can't be reached: at once, then once a minute while that goes on."""

from __future__ import annotations

import logging
from typing import Final

from byline.gateway.upstream.origin import Origin

INTERVAL_S: Final = 60.0
log = logging.getLogger(__name__)


class _Trouble:
    """Of one origin, since its first failure."""

    def __init__(self, said_at: float) -> None:
        self.said_at = said_at
        self.is_on = True
        self.unsaid = 0
        """Failures since the last line."""


class DialWarnings:
    """One per worker. An origin that comes and goes gets no more lines than one that stays away."""

    def __init__(self) -> None:
        self._troubles: dict[Origin, _Trouble] = {}

    def failed(self, provider: str, origin: Origin, message: str, now: float) -> None:
        """`message` is safe to show: it names hosts, never credentials."""
        trouble = self._troubles.get(origin)
        if trouble is None:
            self._troubles[origin] = _Trouble(now)
            log.warning("%s can't be reached: %s", provider, message)
        elif now - trouble.said_at < INTERVAL_S:
            trouble.unsaid += 1
        else:
            more = f" ({trouble.unsaid} more since the last line)" if trouble.unsaid else ""
            log.warning("%s can't be reached: %s%s", provider, message, more)
            trouble.said_at, trouble.is_on, trouble.unsaid = now, True, 0

    def succeeded(self, provider: str, origin: Origin) -> None:
        trouble = self._troubles.get(origin)
        if trouble is not None and trouble.is_on:
            trouble.is_on = False
            log.info("%s is reached again", provider)
