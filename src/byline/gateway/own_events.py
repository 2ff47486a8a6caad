"""The gateway's own events on their way to the ledger: sampled, switched off or told, as its flags say."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Final, Protocol

from byline.gateway.exchange import Tally
from byline.telemetry.catalogue import FEATURE_EXPOSED
from byline.telemetry.event import Event
from byline.telemetry.exposure import Exposed, exposure_values
from byline.telemetry.metadata import EventValues
from byline.telemetry.rows import RowMaker, iso_utc
from byline.telemetry.sampling import Sampler

LEDGER_SINK: Final = "first_party"
"""The gateway's one sink, by its name in `telemetry_events_dropped`."""


class EventJournal(Protocol):
    def append_event(self, columns: Mapping[str, object]) -> None: ...


class OwnEvents:
    """Belongs to the worker's event loop."""

    def __init__(self, journal: EventJournal, rows: RowMaker, tally: Tally, now: Callable[[], float]) -> None:
        self.sample_rates: Mapping[str, float] = {}
        """By event name; 1 for those not named."""
        self.sinks_off: Collection[str] = ()
        self._journal = journal
        self._rows = rows
        self._tally = tally
        self._now = now
        self._sampler = Sampler(lambda name: self.sample_rates.get(name))

    def tell(self, name: str, values: EventValues) -> None:
        if LEDGER_SINK in self.sinks_off:
            self._tally["events_switched_off"] += 1
            return
        kept, rate = self._sampler.decide(name)
        if not kept:
            self._tally["events_sampled_out"] += 1
            return
        if rate is not None:
            values = {**values, "sample_rate": rate}
        now = self._now()
        row, _ = self._rows.make(Event(name, values, now))
        self._journal.append_event({**row, "received_at": iso_utc(now)})

    def tell_exposure(self, exposed: Exposed) -> None:
        self.tell(FEATURE_EXPOSED.name, exposure_values(exposed))
