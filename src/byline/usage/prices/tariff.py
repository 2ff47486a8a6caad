"""What one model charges: plain numbers, whatever list they came from.

Knows nothing of model names, dates or service tiers: those are settled before a Tariff exists.
"""

from __future__ import annotations

from decimal import Decimal

import msgspec


class Rates(msgspec.Struct, frozen=True, kw_only=True):
    """US dollars per million tokens, save where the name says otherwise. None: no price is known."""

    input: Decimal | None = None
    cache_read: Decimal | None = None
    cache_write_5m: Decimal | None = None
    cache_write_1h: Decimal | None = None
    output: Decimal | None = None
    reasoning: Decimal | None = None
    """Set only where reasoning is charged apart from other output."""
    web_search_per_1k: Decimal | None = None
    request_per_1k: Decimal | None = None

    def scaled(self, factor: Decimal) -> Rates:
        """Tokens at `factor` times the price; searches and requests keep theirs."""
        return msgspec.structs.replace(
            self, **{part: _times(getattr(self, part), factor) for part in TOKEN_PARTS}
        )


TOKEN_PARTS = ("input", "cache_read", "cache_write_5m", "cache_write_1h", "output", "reasoning")


def _times(rate: Decimal | None, factor: Decimal) -> Decimal | None:
    return None if rate is None else rate * factor


class Band(msgspec.Struct, frozen=True):
    """Rates of the whole request once its input, cache included, is longer than `above_tokens`."""

    above_tokens: int
    rates: Rates


class Tariff(msgspec.Struct, frozen=True):
    """One model's rates for one day and one kind of service."""

    base: Rates
    bands: tuple[Band, ...] = ()
    """Long-context prices, by rising `above_tokens`."""
    other_modalities: bool = False
    """Audio, images or video have prices of their own, which token totals can't tell apart."""

    def scaled(self, factor: Decimal) -> Tariff:
        if factor == 1:
            return self
        bands = tuple(Band(band.above_tokens, band.rates.scaled(factor)) for band in self.bands)
        return msgspec.structs.replace(self, base=self.base.scaled(factor), bands=bands)
