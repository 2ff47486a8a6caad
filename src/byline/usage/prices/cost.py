"""Puts the cost on a UsageRecord.

`cost_status` says how much of it is known:

- `priced`: every part that was used has a price.
- `partial`: a used part, or the kind of service, has none. `cost_usd` is what the known prices give
  (a part without its own price counted as the part it belongs to), or None where nothing is known.
- `unknown_model`: no price list has the model; `cost_usd` is None.
- `no_usage`: the answer reported no tokens; `cost_usd` is None.

A refused request used nothing: both stay None. Calls paid with the client's own credential are priced
the same; leaving their notional cost out of spend is the reader's business.
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Final, cast

import msgspec

from byline.apis.api import Iteration
from byline.usage.columns import MONEY_PLACES
from byline.usage.prices.book import PriceBook, Quote
from byline.usage.record import CostStatus, UsageRecord

Amount = tuple[Decimal | None, CostStatus]

FREE_APIS: Final = frozenset({"count_tokens", "models"})
_LEAST: Final = Decimal(1).scaleb(-MONEY_PLACES)
_MODALITY_COUNTS: Final = frozenset({"audio_tokens", "image_tokens", "video_tokens"})


def price(record: UsageRecord, book: PriceBook) -> None:
    """Sets `cost_usd`, `cost_status` and `price_version`."""
    if record.outcome == "rejected":
        record.cost_usd = record.cost_status = record.price_version = None
        return
    record.cost_usd, record.cost_status = _total([*_amounts(record, book)])
    record.price_version = book.version


def _amounts(record: UsageRecord, book: PriceBook) -> Iterator[Amount]:
    if record.api in FREE_APIS:
        return
    model = record.model_reported or record.model_requested
    if _has_usage(record):
        yield _amount_of_totals(record, _quote(record, model, record.speed, book))
    for iteration in record.iterations or ():
        if not iteration.in_totals and _has_usage(iteration):
            yield _amount_of(iteration, _quote_iteration(record, iteration.model or model, model, book))


def _total(amounts: list[Amount]) -> Amount:
    if not amounts:
        return None, "no_usage"
    if len(amounts) == 1:
        return amounts[0]
    known = [amount for amount, _ in amounts if amount is not None]
    first = amounts[0][1]
    status: CostStatus = first if all(status == first for _, status in amounts) else "partial"
    return sum(known, Decimal(0)) if known else None, status


def _quote_iteration(record: UsageRecord, model: str | None, main: str | None, book: PriceBook) -> Quote:
    """Speed is reported for the main model alone: another one that has no fast mode ran at its only speed."""
    quote = _quote(record, model, record.speed, book)
    if quote.charge is None and record.speed and model != main:
        return _quote(record, model, None, book)
    return quote


def _quote(record: UsageRecord, model: str | None, speed: str | None, book: PriceBook) -> Quote:
    if model is None:
        return Quote("unknown_model", "no model was named")
    return book.quote(
        record.provider,
        model,
        record.started_at,
        tier=record.service_tier,
        speed=speed,
        region=record.inference_geo,
        host=record.server_address,
    )


def _has_usage(counts: UsageRecord | Iteration) -> bool:
    return not (
        counts.input_uncached_tokens is None
        and counts.output_tokens is None
        and counts.cache_read_tokens is None
        and counts.cache_write_tokens is None
    )


def _amount_of_totals(record: UsageRecord, quote: Quote) -> Amount:
    amount, status = _amount_of(record, quote, record.reasoning_tokens or 0, record.web_search_requests or 0)
    if (
        quote.tariff is not None
        and quote.tariff.other_modalities
        and _counts_other_modalities(record.raw_usage)
    ):
        return amount, "partial"
    return amount, status


def _amount_of(
    counts: UsageRecord | Iteration, quote: Quote, reasoning: int = 0, searches: int = 0
) -> Amount:
    if quote.charge is None:
        return None, quote.status
    uncached, read, output = counts.input_uncached_tokens, counts.cache_read_tokens or 0, counts.output_tokens
    write_5m, write_1h = _cache_writes(counts)
    amount = quote.charge(uncached or 0, read, write_5m, write_1h, output or 0, reasoning, searches)
    if quote.places > MONEY_PLACES:  # a few lists hold floats such as 0.08333333333333334
        amount = amount.quantize(_LEAST)
    if not quote.gaps and uncached is not None and output is not None:
        return amount, "priced"
    used = zip(_PARTS, (uncached, read, write_5m, write_1h, output, searches), strict=True)
    if any(count and part in quote.gaps for part, count in used):
        return amount or None, "partial"
    return amount, "priced" if uncached is not None and output is not None else "partial"


_PARTS = ("input", "cache_read", "cache_write_5m", "cache_write_1h", "output", "web_search_per_1k")


def _cache_writes(counts: UsageRecord | Iteration) -> tuple[int, int]:
    """Tokens written for five minutes and for an hour; what only the total holds counts as the former."""
    write_1h = counts.cache_write_1h_tokens or 0
    write_5m = counts.cache_write_5m_tokens or 0
    return max(write_5m, (counts.cache_write_tokens or 0) - write_1h), write_1h


def _counts_other_modalities(raw_usage: msgspec.Raw) -> bool:
    """Whether the provider's own usage counts audio, image or video tokens, which the totals include."""
    try:
        return _any_count(msgspec.json.decode(raw_usage, type=dict[str, object] | None))
    except msgspec.DecodeError:
        return False


def _any_count(usage: dict[str, object] | None) -> bool:
    for key, value in (usage or {}).items():
        if key in _MODALITY_COUNTS and isinstance(value, int) and value > 0:
            return True
        if isinstance(value, dict) and _any_count(cast("dict[str, object]", value)):
            return True
    return False
