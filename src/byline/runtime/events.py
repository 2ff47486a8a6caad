"""Events of programs: `byline.log_event` and its siblings, and a sink that keeps them in the ledger.

Events carry the user and job of `byline.identify`, which only the first party sees.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Final

from byline.identity.environment import CarriedIdentity
from byline.runtime.current import environment_identity, identified
from byline.runtime.recording import DATA_DIR_VARIABLE, KEY_VARIABLE, URL_VARIABLE
from byline.telemetry.catalogue import PERSONAL_FIELDS
from byline.telemetry.event import EventContext
from byline.telemetry.fanout import FanOut, FirstPartyRoute, GeneralRoute
from byline.telemetry.process import attach_sink, flush_events, log_event, log_event_async, queue
from byline.telemetry.sampling import Rate, Sampler
from byline.telemetry.sinks.first_party import Deliver, FirstParty
from byline.telemetry.source import UNKNOWN, Source
from byline.telemetry.spool import Spool
from byline.telemetry.verified import (
    Verified,
    i_verified_this_is_not_code_or_filepaths,
    i_verified_this_is_pii_tagged,
    not_code_or_path,
)

__all__ = [
    "attach_sink",
    "event_sink",
    "flush_events",
    "i_verified_this_is_not_code_or_filepaths",
    "i_verified_this_is_pii_tagged",
    "log_event",
    "log_event_async",
    "not_code_or_path",
]
_SESSION_VARIABLE: Final = "CLAUDE_CODE_SESSION_ID"


def event_sink(
    *,
    program: Verified = UNKNOWN,
    version: Verified = UNKNOWN,
    url: str | None = None,
    key: str | None = None,
    data_dir: str | os.PathLike[str] | None = None,
    spool_dir: str | os.PathLike[str] | None = None,
    general: Sequence[GeneralRoute] = (),
    personal: Collection[str] = tuple(PERSONAL_FIELDS),
    sample_rate: Rate | None = None,
    is_killed: Callable[[str], bool] | None = None,
) -> FanOut:
    """A sink for `attach_sink`: events go to `api_events`, and to the `general` destinations.

    With `url` and `key`, or BYLINE_URL and BYLINE_KEY, through that gateway, by way of `spool_dir`, so
    that an outage or a crash loses none; else into the journal of `data_dir` (BYLINE_DATA_DIR).
    """
    source = Source(kind="client", program=program, version=version)
    deliver, spool = _first_party(url, key, data_dir, spool_dir)
    return FanOut(
        general,
        FirstPartyRoute(FirstParty(deliver, source, personal=personal, spool=spool)),
        sampler=Sampler(sample_rate),
        is_killed=is_killed,
        queue=queue.counters,
    )


def _first_party(
    url: str | None,
    key: str | None,
    data_dir: str | os.PathLike[str] | None,
    spool_dir: str | os.PathLike[str] | None,
) -> tuple[Deliver, Spool | None]:
    if data_dir is None:
        url, key = url or os.environ.get(URL_VARIABLE), key or os.environ.get(KEY_VARIABLE)
        if url:
            return _through_gateway(url, key, spool_dir)
        data_dir = os.environ.get(DATA_DIR_VARIABLE) or "byline-data"
    from byline.runtime.deliveries import JournalDelivery

    return JournalDelivery(Path(data_dir)), None


def _through_gateway(
    url: str, key: str | None, spool_dir: str | os.PathLike[str] | None
) -> tuple[Deliver, Spool]:
    from byline.telemetry.gateway_route import GatewayRoute

    if not key:
        raise ValueError("events go to a gateway under a Byline key: pass key= or set BYLINE_KEY")
    return GatewayRoute(url, key), Spool(Path(spool_dir) if spool_dir else _default_spool())


def _default_spool() -> Path:
    state = os.environ.get("XDG_STATE_HOME")
    return (Path(state) if state else Path.home() / ".local" / "state") / "byline" / "events"


def _context_columns(carried: object) -> EventContext:
    """In the queue's thread: the environment is too slow to read at every event."""
    identity = carried if isinstance(carried, CarriedIdentity) else environment_identity()
    return EventContext(
        user=identity.user if identity else None,
        job=identity.job if identity else None,
        session_id=os.environ.get(_SESSION_VARIABLE) or None,
    )


queue.carry(identified, _context_columns)
