"""One event to every destination, each seeing exactly what it may.

Personal values are taken out here, once, before any general sink; the first-party sink alone gets the
whole event. Attach it to the queue as its sink.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import cast

import msgspec

from byline.telemetry.counters import Counters, Reason
from byline.telemetry.delivery import BatchSink, Delivery, DeliveryOptions
from byline.telemetry.event import Event
from byline.telemetry.forks import after_fork_in_child
from byline.telemetry.losses import LossReport
from byline.telemetry.metadata import EventValues, Metadata, has_huge_numbers, strip_pii
from byline.telemetry.reduction import Reduction
from byline.telemetry.sampling import Sampler


class GeneralEvent(msgspec.Struct, frozen=True):
    """What a general-access sink sees."""

    name: str
    metadata: Metadata
    occurred_at: float


class GeneralRoute(msgspec.Struct, frozen=True):
    """A destination that more people can read than may see personal data."""

    sink: BatchSink[GeneralEvent]
    allowed: frozenset[str] | None = None
    """Names of events that a low-trust sink may get; None allows all."""
    reduction: Reduction | None = None
    options: DeliveryOptions = DeliveryOptions()

    def view(self, event: Event, general: Metadata) -> GeneralEvent | None:
        """What this sink receives of an event, `general` being its values without personal ones."""
        if self.allowed is not None and event.name not in self.allowed:
            return None
        if self.reduction is not None:
            user = event.context.user if event.context else None
            general = self.reduction.reduce(event.name, general, user)
        return GeneralEvent(event.name, general, event.occurred_at)


class FirstPartyRoute(msgspec.Struct, frozen=True):
    sink: BatchSink[Event]
    options: DeliveryOptions = DeliveryOptions()


class FanOut:
    """A sink for `EventQueue.attach`. `is_killed` takes a sink's name; it must not block."""

    def __init__(
        self,
        general: Sequence[GeneralRoute],
        first_party: FirstPartyRoute | None = None,
        *,
        sampler: Sampler | None = None,
        is_killed: Callable[[str], bool] | None = None,
        queue: Counters | None = None,
    ) -> None:
        """`queue`: the counters of the queue before, whose losses are told to the sinks as well."""
        self._general = [(route, Delivery(route.sink, route.options)) for route in general]
        self._first_party = (
            (first_party.sink, Delivery(first_party.sink, first_party.options)) if first_party else None
        )
        self._sampler = sampler or Sampler()
        self._is_killed = is_killed
        self.counters = Counters()
        self._queue = queue or Counters()
        self._report = LossReport(self.losses)
        after_fork_in_child(self._after_fork)

    def accept(self, event: Event) -> None:
        for loss in self._report.due(event.occurred_at):
            self._distribute(loss)
        if has_huge_numbers(event.values):
            self.counters.drop("unserializable")
            return
        kept, rate = self._sampler.decide(event.name)
        if not kept:
            self.counters.drop("sampled")
            return
        if rate is not None:
            event = event._replace(values={**event.values, "sample_rate": rate})
        self._distribute(event)

    def log_event(self, name: str, metadata: EventValues) -> None:
        """For callers that have no queue before."""
        self.accept(Event(name, metadata, time.time()))

    def log_event_async(self, name: str, metadata: EventValues) -> None:
        self.log_event(name, metadata)

    def flush(self, deadline: float) -> None:
        for delivery in self._deliveries():
            delivery.flush(deadline)

    def close(self, deadline: float) -> None:
        """All sinks share the deadline: each is told at once, then waited for."""
        for delivery in self._deliveries():
            delivery.begin_close(deadline)
        for delivery in self._deliveries():
            delivery.finish_close()

    def write_off(self) -> None:
        """What no sink has sent is lost, and counted: the program ends now."""
        for delivery in self._deliveries():
            delivery.write_off()

    def losses(self) -> dict[str, dict[Reason, int]]:
        """Sink -> reason -> how many events were dropped."""
        sinks: list[BatchSink[GeneralEvent] | BatchSink[Event]] = [route.sink for route, _ in self._general]
        if self._first_party is not None:
            sinks.append(self._first_party[0])
        before = {"queue": self._queue.dropped, "fan_out": self.counters.dropped}
        return before | {sink.name: sink.counters.dropped for sink in sinks}

    def _distribute(self, event: Event) -> None:
        if self._first_party is not None and self._may_send(self._first_party[0]):
            self._first_party[1].offer(event)
        general = general_values(event.values)
        for route, delivery in self._general:
            if self._may_send(route.sink):
                self._offer(route, delivery, event, general)

    def _offer(
        self, route: GeneralRoute, delivery: Delivery[GeneralEvent], event: Event, general: Metadata
    ) -> None:
        view = route.view(event, general)
        if view is None:
            route.sink.counters.drop("not_allowed")
        else:
            delivery.offer(view)

    def _may_send(self, sink: BatchSink[GeneralEvent] | BatchSink[Event]) -> bool:
        try:
            killed = self._is_killed is not None and self._is_killed(sink.name)
        except Exception:  # noqa: BLE001 - a switch that can't be read is not thrown
            killed = False
        if killed:
            sink.counters.drop("killed")
        return not killed

    def _after_fork(self) -> None:
        self.counters.reset()
        self._report = LossReport(self.losses)

    def _deliveries(self) -> list[Delivery[GeneralEvent] | Delivery[Event]]:
        found: list[Delivery[GeneralEvent] | Delivery[Event]] = [delivery for _, delivery in self._general]
        if self._first_party is not None:
            found.append(self._first_party[1])
        return found


def general_values(values: EventValues) -> Metadata:
    """The one place where personal values leave an event; without any, the very same object."""
    return cast("Metadata", strip_pii(values))
