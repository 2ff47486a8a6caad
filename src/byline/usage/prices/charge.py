"""Compiles a Tariff into a function from counts to dollars: integers inside, one exact Decimal out.

Counting in units of 10**-scale dollars keeps every product an int, several times faster than Decimal
arithmetic and never rounded.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable
from decimal import Context, Decimal

from byline.usage.prices.tariff import TOKEN_PARTS, Rates, Tariff

Charge = Callable[[int, int, int, int, int, int, int], Decimal]
"""(uncached, cache read, cache write 5m, cache write 1h, output, reasoning, web searches) -> dollars."""

_EXACT = Context(prec=100)
_PER_MILLION = 6
_PER_THOUSAND = 3


def places(tariff: Tariff) -> int:
    """Decimal places an amount by this tariff can have."""
    return max(_scale(rates) for rates in (tariff.base, *(band.rates for band in tariff.bands)))


def compile_charge(tariff: Tariff) -> Charge:
    scale = places(tariff)
    base = _flat(tariff.base, scale)
    if not tariff.bands:
        return base
    limits = [band.above_tokens for band in tariff.bands]
    charges = [base, *(_flat(band.rates, scale) for band in tariff.bands)]

    def charge(
        uncached: int, read: int, write_5m: int, write_1h: int, output: int, reasoning: int, searches: int
    ) -> Decimal:
        band = bisect_left(limits, uncached + read + write_5m + write_1h)
        return charges[band](uncached, read, write_5m, write_1h, output, reasoning, searches)

    return charge


def _flat(rates: Rates, scale: int) -> Charge:
    """A part without a price of its own is charged as the part it belongs to.

    A one-hour cache write is a cache write, cached input is input, reasoning is output.
    """
    tokens = scale - _PER_MILLION
    input_ = _units(rates.input, tokens)
    read_ = _units(rates.cache_read, tokens, input_)
    write_5m_ = _units(rates.cache_write_5m, tokens, input_)
    write_1h_ = _units(rates.cache_write_1h, tokens, write_5m_)
    output_ = _units(rates.output, tokens)
    reasoning_ = _units(rates.reasoning, tokens, output_) - output_
    search_ = _units(rates.web_search_per_1k, scale - _PER_THOUSAND)
    request_ = _units(rates.request_per_1k, scale - _PER_THOUSAND)
    unit = Decimal(1).scaleb(-scale)
    multiply = _EXACT.multiply

    def charge(
        uncached: int, read: int, write_5m: int, write_1h: int, output: int, reasoning: int, searches: int
    ) -> Decimal:
        return multiply(
            Decimal(
                uncached * input_ + read * read_ + write_5m * write_5m_ + write_1h * write_1h_
                + output * output_ + reasoning * reasoning_ + searches * search_ + request_
            ),
            unit,
        )  # fmt: skip

    return charge


def _scale(rates: Rates) -> int:
    """The least power of ten in which every rate is a whole number of dollars per unit."""
    tokens = [_places(getattr(rates, part)) + _PER_MILLION for part in TOKEN_PARTS]
    events = [_places(rate) + _PER_THOUSAND for rate in (rates.web_search_per_1k, rates.request_per_1k)]
    return max(*tokens, *events)


def _places(rate: Decimal | None) -> int:
    if rate is None:
        return 0
    exponent = rate.normalize(_EXACT).as_tuple().exponent
    assert isinstance(exponent, int), "rates are finite"
    return max(0, -exponent)


def _units(rate: Decimal | None, shift: int, without: int = 0) -> int:
    return without if rate is None else int(_EXACT.scaleb(rate, shift))
