"""What destinations get that many people read, or that keep a series for every value."""

from __future__ import annotations

from byline.telemetry.catalogue import LOW_TRUST_EVENTS, SHORTENED_FIELDS
from byline.telemetry.delivery import BatchSink, DeliveryOptions
from byline.telemetry.fanout import GeneralEvent, GeneralRoute
from byline.telemetry.reduction import Reduction


def low_trust_route(
    sink: BatchSink[GeneralEvent],
    *,
    allowed: frozenset[str] = LOW_TRUST_EVENTS,
    reduction: Reduction | None = None,
    options: DeliveryOptions | None = None,
) -> GeneralRoute:
    """Only events on the list, users as buckets, names from known vocabularies."""
    return GeneralRoute(
        sink,
        allowed=allowed,
        reduction=reduction or Reduction(SHORTENED_FIELDS),
        options=options or DeliveryOptions(),
    )
