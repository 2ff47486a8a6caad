"""The price book: what a model costs on a day, for one kind of service.

A look-up is done once per model, kind of service and day, compiled, and kept in bounded caches, so
names that clients invent can't fill the memory. What is not known becomes a status, never a number.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from functools import lru_cache
from typing import Final

import msgspec

from byline.usage.prices import overrides as own
from byline.usage.prices.catalogue import Catalogue, Listing
from byline.usage.prices.charge import Charge, compile_charge, places
from byline.usage.prices.names import MAX_NAME_LENGTH, platform
from byline.usage.prices.service import (
    RULES_EDITION,
    Service,
    Terms,
    UnpublishedPriceError,
    service_of,
    terms,
)
from byline.usage.prices.tariff import Tariff
from byline.usage.record import CostStatus

CACHED_MODELS: Final = 4096
CACHED_QUOTES: Final = 4096
PRICE_LIST_ALIASES: Final[Mapping[str, str]] = {
    "amazon": "aws",
    "azure_ai": "azure",
    "azure_openai": "azure",
    "bedrock": "aws",
    "fireworks_ai": "fireworks",
    "gemini": "google",
    "together_ai": "together",
    "vertex": "google",
    "vertex_ai": "google",
    "xai": "x-ai",
}
"""Other names under which routers and operators know the catalogue's price lists."""
_PATHS = ("models/", "publishers/", "projects/", "accounts/", "arn:")


class Quote(msgspec.Struct, frozen=True):
    """What a request would be charged, or why that is not known."""

    status: CostStatus
    reason: str = ""
    charge: Charge | None = None
    tariff: Tariff | None = None
    gaps: frozenset[str] = frozenset()
    """Parts without a price of their own, by their names in `Rates`."""
    places: int = 0
    """Decimal places that an amount can have."""
    price_list: str = ""
    model: str = ""
    source: str = ""


class _Place(msgspec.Struct, frozen=True):
    """Where a model's price is to be looked up: a price list, a spelling there, and what was found."""

    price_list: str
    spelling: str
    listing: Listing | None


class PriceBook:
    """One edition of prices with the own ones over it. Immutable; safe to share between threads."""

    def __init__(
        self,
        catalogue: Catalogue,
        overrides: own.Overrides = own.NONE,
        price_lists: Mapping[str, str] | None = None,
    ) -> None:
        """`price_lists` says for configured provider names whose prices they charge."""
        self.catalogue = catalogue
        self.overrides = overrides
        self.version = f"{catalogue.edition}+rules.{RULES_EDITION}"
        if overrides.edition:
            self.version += f"+own.{overrides.edition}"
        self._price_lists = PRICE_LIST_ALIASES | {
            provider: PRICE_LIST_ALIASES.get(name, name) for provider, name in (price_lists or {}).items()
        }
        self._places = lru_cache(maxsize=CACHED_MODELS)(self._look_up_places)
        self._changes_within_day = lru_cache(maxsize=CACHED_MODELS)(self._look_up_changes_within_day)
        self._quote = lru_cache(maxsize=CACHED_QUOTES)(self._look_up_quote)

    def quote(
        self,
        provider: str,
        model: str,
        at: datetime,
        *,
        tier: str | None = None,
        speed: str | None = None,
        region: str | None = None,
        host: str | None = None,
    ) -> Quote:
        if len(model) > MAX_NAME_LENGTH:
            return Quote("unknown_model", "the name is too long")
        if at.tzinfo is not None and at.tzinfo is not UTC:
            at = at.astimezone(UTC)
        minute = at.hour * 60 + at.minute if self._changes_within_day(provider, model) else 0
        return self._quote(provider, model, at.toordinal(), minute, tier, speed, region, host)

    def price_list(self, provider: str) -> str:
        return self._price_lists.get(provider, provider)

    def cached(self) -> dict[str, int]:
        """How many entries each cache holds."""
        return {"models": self._places.cache_info().currsize, "quotes": self._quote.cache_info().currsize}

    def _look_up_quote(
        self,
        provider: str,
        model: str,
        day: int,
        minute: int,
        tier: str | None,
        speed: str | None,
        region: str | None,
        host: str | None,
    ) -> Quote:
        at = datetime.fromordinal(day).replace(hour=minute // 60, minute=minute % 60, tzinfo=UTC)
        service = service_of(tier, speed, region, host)
        for place in self._places(provider, model):
            if override := self.overrides.find(place.price_list, place.spelling, at.date()):
                return _quote_own(place, override, service)
            if place.listing is not None:
                return self._quote_listed(place.listing, at, service)
        return Quote("unknown_model", "no price list has it")

    def _quote_listed(self, listing: Listing, at: datetime, service: Service) -> Quote:
        try:
            agreed = terms(listing.price_list, listing.id, service)
            tariff, factor = self._listed(listing, at, agreed)
        except UnpublishedPriceError as missing:
            return Quote(
                "partial", f"no published price: {missing}", price_list=listing.price_list, model=listing.id
            )
        source = self.catalogue.edition if factor == 1 else f"{self.catalogue.edition} x {factor}"
        return _quoted(tariff.scaled(factor), listing.price_list, listing.id, source)

    def _listed(self, listing: Listing, at: datetime, agreed: Terms) -> tuple[Tariff, Decimal]:
        """The listed price and the factor on it."""
        if (tariff := self.catalogue.tariff(listing, at, agreed.variant)) is not None:
            return tariff, agreed.factor
        standard = self.catalogue.tariff(listing, at)
        if standard is None or agreed.otherwise is None:
            raise UnpublishedPriceError(" ".join(agreed.variant or ("standard",)))
        return standard, agreed.factor * agreed.otherwise

    def _look_up_changes_within_day(self, provider: str, model: str) -> bool:
        places = self._places(provider, model)
        return any(place.listing is not None and place.listing.changes_within_day for place in places)

    def _look_up_places(self, provider: str, model: str) -> tuple[_Place, ...]:
        return tuple(
            _Place(price_list, spelling, self.catalogue.find(price_list, spelling))
            for price_list, spelling in self._candidates(self.price_list(provider), model)
        )

    def _candidates(self, price_list: str, model: str) -> Iterator[tuple[str, str]]:
        yield price_list, model
        last = model.rpartition("/")[2]
        if model.startswith(_PATHS):
            yield price_list, last
        if (said := platform(model)) is not None and said != price_list:
            yield said, last
        prefix, slash, rest = model.partition("/")
        named = self.price_list(prefix.lower())
        if slash and named in self.catalogue and (named == price_list or price_list not in self.catalogue):
            yield named, rest


def _quote_own(place: _Place, override: own.Override, service: Service) -> Quote:
    try:
        tariff = override.tariff(service)
    except UnpublishedPriceError as missing:
        return Quote("partial", str(missing), price_list=place.price_list, model=place.spelling)
    return _quoted(tariff, place.price_list, place.spelling, "own prices")


_PRICED_PARTS = ("input", "cache_read", "cache_write_5m", "cache_write_1h", "output", "web_search_per_1k")


def _quoted(tariff: Tariff, price_list: str, model: str, source: str) -> Quote:
    every = (tariff.base, *(band.rates for band in tariff.bands))
    gaps = frozenset(part for part in _PRICED_PARTS if any(getattr(rates, part) is None for rates in every))
    charge = compile_charge(tariff)
    return Quote("priced", "", charge, tariff, gaps, places(tariff), price_list, model, source)
