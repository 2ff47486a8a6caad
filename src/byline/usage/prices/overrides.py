"""Own prices: what a contract says, or what the catalogue lacks, read from a TOML file and checked.

    [models."anthropic/claude-sonnet-4-5"]
    from = 2026-07-01                    # earlier requests keep the catalogue's price
    input_per_mtok = "2.40"
    output_per_mtok = "12.00"
    factors = { batch = "0.5", us = "1.1" }

An entry replaces the catalogue's whole price of that model from its day on: a part it leaves out has
no price, and a kind of service that `factors` leaves out has none either.
"""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Annotated, cast

import msgspec

from byline.usage.prices.names import cleaned, plain_names
from byline.usage.prices.service import Service, UnpublishedPriceError
from byline.usage.prices.tariff import Band, Rates, Tariff

Price = Annotated[Decimal, "dollars, as a string or a number"]


class Above(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Prices of requests whose input, cache included, is longer than `tokens`."""

    tokens: int
    input_per_mtok: Price | None = None
    output_per_mtok: Price | None = None
    cache_read_per_mtok: Price | None = None
    cache_write_5m_per_mtok: Price | None = None
    cache_write_1h_per_mtok: Price | None = None


class Override(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, rename={"since": "from"}
):
    """One model's own price from a day (UTC) on."""

    since: date = date.min
    input_per_mtok: Price | None = None
    output_per_mtok: Price | None = None
    cache_read_per_mtok: Price | None = None
    cache_write_5m_per_mtok: Price | None = None
    cache_write_1h_per_mtok: Price | None = None
    web_search_per_1k: Price | None = None
    request_per_1k: Price | None = None
    above: tuple[Above, ...] = ()
    factors: dict[str, Price] = {}
    """Kind of service (`batch`, `flex`, `priority`, `fast`, a region) -> factor on token prices."""

    def tariff(self, service: Service) -> Tariff:
        """Raises UnpublishedPriceError."""
        bands = tuple(
            Band(above.tokens, self._rates(above))
            for above in sorted(self.above, key=lambda above: above.tokens)
        )
        return Tariff(self._rates(self), bands).scaled(self._factor(service))

    def _rates(self, price: Override | Above) -> Rates:
        return Rates(
            input=price.input_per_mtok,
            output=price.output_per_mtok,
            cache_read=price.cache_read_per_mtok,
            cache_write_5m=price.cache_write_5m_per_mtok,
            cache_write_1h=price.cache_write_1h_per_mtok,
            web_search_per_1k=self.web_search_per_1k,
            request_per_1k=self.request_per_1k,
        )

    def _factor(self, service: Service) -> Decimal:
        factor = Decimal(1)
        for kind in filter(None, (service.tier, service.speed, service.region)):
            if kind not in self.factors:
                raise UnpublishedPriceError(f"{kind} (own price without a factor of that name)")
            factor *= self.factors[kind]
        return factor


class Overrides:
    """Own prices by `PRICELIST/MODEL`. A `*` at the end of a name stands for any ending."""

    def __init__(self, entries: Mapping[str, tuple[Override, ...]]) -> None:
        self._exact = {name: prices for name, prices in entries.items() if not name.endswith("*")}
        self._beginnings = sorted(
            ((name.removesuffix("*"), prices) for name, prices in entries.items() if name.endswith("*")),
            key=lambda entry: -len(entry[0]),
        )
        self.edition = _edition(entries)

    def find(self, price_list: str, spelling: str, day: date) -> Override | None:
        """The entry in force on a day; the longest name that fits wins."""
        prices = self._named(price_list, cleaned(spelling))
        return next((price for price in reversed(prices) if price.since <= day), None)

    def _named(self, price_list: str, spelling: str) -> tuple[Override, ...]:
        full = f"{price_list}/{spelling}"
        for name in (spelling, full, *(f"{price_list}/{plain}" for plain in plain_names(spelling))):
            if name in self._exact:
                return self._exact[name]
        return next((prices for start, prices in self._beginnings if full.startswith(start)), ())


def load(file: Path) -> Overrides:
    """Raises ValueError naming the file and the fault."""
    try:
        document = tomllib.loads(file.read_text("utf-8"))
    except OSError as error:
        raise ValueError(f"{file}: can't be read: {error.strerror}; correct prices.overrides_file") from None
    except ValueError as error:
        raise ValueError(f"{file}: not valid TOML: {error}") from None
    models = document.pop("models", {})
    if document or not isinstance(models, dict):
        raise ValueError(f'{file}: own prices stand in tables [models."PROVIDER/MODEL"] and nowhere else')
    try:
        return read(cast("dict[str, object]", models))
    except ValueError as error:
        raise ValueError(f"{file}: {error}") from None


def read(models: Mapping[str, object]) -> Overrides:
    """Reads the tables below `[models]`. Raises ValueError naming the entry and its fault."""
    return Overrides({name.lower(): _entry(name, table) for name, table in models.items()})


def _entry(name: str, value: object) -> tuple[Override, ...]:
    where = f'[models."{name}"]'
    if "/" not in name.strip("/"):
        raise ValueError(f'{where}: write the provider before the model, as in "anthropic/{name}"')
    try:
        prices = msgspec.convert(value if isinstance(value, list) else [value], list[Override])
    except msgspec.ValidationError as error:
        raise ValueError(f"{where}: {error}") from None
    for price in prices:
        _check(where, price)
    return tuple(sorted(prices, key=lambda price: price.since))


def _check(where: str, price: Override) -> None:
    numbers = _numbers(price) | {f"factors.{kind}": factor for kind, factor in price.factors.items()}
    for above in price.above:
        if above.tokens < 1:
            raise ValueError(f"{where}: above.tokens must be at least 1, not {above.tokens}")
        numbers |= {f"above.{key}": number for key, number in _numbers(above).items()}
    if not numbers:
        raise ValueError(
            f'{where}: no price; write at least input_per_mtok = "..." and output_per_mtok = "..."'
        )
    for key, number in numbers.items():
        if not number.is_finite() or number < 0:
            raise ValueError(f"{where}: {key} must be a number of dollars, zero or more, not {number}")


def _numbers(price: Override | Above) -> dict[str, Decimal]:
    return {key: value for key, value in msgspec.structs.asdict(price).items() if isinstance(value, Decimal)}


def _edition(entries: Mapping[str, tuple[Override, ...]]) -> str:
    """Eight hex digits that change with any own price; empty without one."""
    if not entries:
        return ""
    canonical = msgspec.json.encode(sorted(entries.items()), order="deterministic")
    return hashlib.sha256(canonical).hexdigest()[:8]


NONE = Overrides({})
