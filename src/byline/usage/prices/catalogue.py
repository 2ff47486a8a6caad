"""The one module that knows genai-prices: its price lists, read as Tariffs.

The library matches models by prefix, remembers every string it was ever asked for, and silently
falls back to standard prices for a service it has no price of. So it is never asked to calculate
here: a spelling is accepted only when a name that the data itself spells out remains of it, and a
kind of service only when the data has a price for it on that day.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from decimal import Decimal
from difflib import get_close_matches
from functools import cached_property
from importlib.metadata import version

import msgspec
from genai_prices import types
from genai_prices.data_snapshot import get_snapshot
from genai_prices.update_prices import DEFAULT_UPDATE_URL

from byline.usage.prices.names import cleaned, plain_names, without_latest
from byline.usage.prices.tariff import Band, Rates, Tariff

UPDATE_URL = DEFAULT_UPDATE_URL
"""Where the library's authors publish newer data for this version's format."""
PACKAGE_VERSION = version("genai-prices")
Variant = tuple[str, str]
"""Key and value by which the data tells services apart, such as `("processing", "batch")`."""

_PRICE_KEYS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("input", ("input_mtok",)),
    ("cache_read", ("cache_read_mtok",)),
    ("cache_write_5m", ("cache_write_5m_mtok", "cache_write_mtok")),
    ("cache_write_1h", ("cache_write_1h_mtok",)),
    ("output", ("output_mtok",)),
    ("reasoning", ("output_reasoning_mtok",)),
    ("web_search_per_1k", ("web_searches_kcount",)),
    ("request_per_1k", ("requests_kcount",)),
)
_MODALITIES = ("audio", "image", "video")

PriceValue = Decimal | types.TieredPrices


class Listing(msgspec.Struct, frozen=True):
    """A model as one price list has it."""

    price_list: str
    id: str
    changes_within_day: bool
    borrowed: bool
    """From another provider's list that this one refers to, which takes standard prices only."""
    info: types.ModelInfo


class _PriceList:
    """One provider's models, and every name the data gives them."""

    def __init__(self, provider: types.Provider, lenders: Sequence[types.Provider]) -> None:
        self.provider = provider
        self._lenders = lenders

    @cached_property
    def names(self) -> frozenset[str]:
        providers = (self.provider, *self._lenders)
        return frozenset(
            name for provider in providers for model in provider.models for name in _names(model)
        )

    def find(self, spelling: str) -> Listing | None:
        if not any(name in self.names for name in plain_names(spelling)):
            return None
        info = self._match(spelling) or self._match(without_latest(spelling))
        if info is None:
            return None
        borrowed = not any(info is model for model in self.provider.models)
        return Listing(self.provider.id, info.id, _changes_within_day(info), borrowed, info)

    def _match(self, spelling: str) -> types.ModelInfo | None:
        return self.provider.find_model(spelling, all_providers=[self.provider, *self._lenders])


class Catalogue:
    """All price lists of one edition of the data. Immutable."""

    def __init__(self, providers: Sequence[types.Provider], edition: str) -> None:
        self.edition = edition
        by_id = {provider.id: provider for provider in providers}
        self._lists = {
            provider.id: _PriceList(
                provider,
                [by_id[lender] for lender in provider.fallback_model_providers or () if lender in by_id],
            )
            for provider in providers
        }

    def __contains__(self, price_list: str) -> bool:
        return price_list in self._lists

    def find(self, price_list: str, spelling: str) -> Listing | None:
        prices = self._lists.get(price_list)
        return None if prices is None else prices.find(cleaned(spelling))

    def tariff(self, listing: Listing, at: datetime, variant: Variant | None = None) -> Tariff | None:
        """What `listing` charged at a time; None where the data has no such price for that day."""
        if variant is None:
            return _tariff(listing.info.get_prices(at))
        if listing.borrowed or not _has_variant(listing.info, variant, at):
            return None
        return _tariff(listing.info.get_prices(at, dict([variant])))

    def model_count(self, price_list: str | None = None) -> int:
        lists = self._lists.values() if price_list is None else filter(None, [self._lists.get(price_list)])
        return sum(len(prices.provider.models) for prices in lists)

    def price_lists(self) -> list[str]:
        return sorted(self._lists)

    def nearest(self, price_list: str | None, name: str, limit: int = 5) -> list[str]:
        lists = self._lists.values() if price_list is None else [self._lists[price_list]]
        known = {model.id for prices in lists for model in prices.provider.models}
        return get_close_matches(name.lower(), sorted(known), n=limit, cutoff=0.5)


def bundled() -> Catalogue:
    """The data that the installed package carries."""
    return Catalogue(get_snapshot().providers, f"genai-prices-{PACKAGE_VERSION}")


def parsed(data: bytes, edition: str) -> Catalogue:
    """Reads a fetched edition. Raises ValueError when it is not one."""
    try:
        raw = msgspec.json.decode(data)
        # The library has no public reader for its data file; its own updater goes through this one.
        providers = types._providers_from_raw(raw)  # pyright: ignore[reportPrivateUsage]
        return Catalogue(providers, edition)
    except Exception as error:  # whatever the reader trips over, the data is at fault
        raise ValueError(f"no price data: {_first_line(error)}") from error


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]


def _names(model: types.ModelInfo) -> Iterator[str]:
    yield model.id.lower()
    yield without_latest(model.id.lower())
    yield from _spelled_out(model.match)


def _spelled_out(clause: types.MatchLogic) -> Iterator[str]:
    """The strings of a match rule: a name, or how names begin (`claude-sonnet-4@`) or end."""
    match clause:
        case types.ClauseOr(or_=parts) | types.ClauseAnd(and_=parts):
            for part in parts:
                yield from _spelled_out(part)
        case types.ClauseEquals(equals=text) | types.ClauseStartsWith(starts_with=text):
            yield text.lower().rstrip("-@:")
        case types.ClauseEndsWith(ends_with=text) | types.ClauseContains(contains=text):
            yield text.lower().strip("-@:")
        case _:
            return


def _changes_within_day(model: types.ModelInfo) -> bool:
    if isinstance(model.prices, types.ModelPrice):
        return False
    return any(isinstance(price.constraint, types.TimeOfDateConstraint) for price in model.prices)


def _has_variant(model: types.ModelInfo, variant: Variant, at: datetime) -> bool:
    return any(
        candidate.when == dict([variant])
        and (candidate.constraint is None or candidate.constraint.active(at))
        for candidate in model.price_variants or ()
    )


def _tariff(prices: types.ModelPrice) -> Tariff:
    values = {part: _first(prices, keys) for part, keys in _PRICE_KEYS}
    starts = sorted(
        {
            tier.start
            for value in values.values()
            if isinstance(value, types.TieredPrices)
            for tier in value.tiers
        }
    )
    return Tariff(
        base=_rates(values, None),
        bands=tuple(Band(start, _rates(values, start)) for start in starts),
        other_modalities=any(
            word in key for key, value in vars(prices).items() if value is not None for word in _MODALITIES
        ),
    )


def _first(prices: types.ModelPrice, keys: tuple[str, ...]) -> PriceValue | None:
    return next((value for key in keys if (value := getattr(prices, key)) is not None), None)


def _rates(values: dict[str, PriceValue | None], start: int | None) -> Rates:
    return Rates(**{part: _rate(value, start) for part, value in values.items()})


def _rate(value: PriceValue | None, start: int | None) -> Decimal | None:
    if not isinstance(value, types.TieredPrices):
        return value
    reached = [tier.price for tier in value.tiers if start is not None and tier.start <= start]
    return reached[-1] if reached else value.base
