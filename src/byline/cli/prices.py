"""`byline prices`: what a model is charged at, and newer data on request."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC, datetime
from difflib import get_close_matches
from typing import Annotated, Any, Final

import typer

from byline.assembly.ledger import price_files
from byline.cli.output import CommandError, ConfigOption, Format, FormatOption, note, write
from byline.cli.times import parse_since
from byline.settings import Settings, load
from byline.usage.ledger import Table
from byline.usage.prices.book import PriceBook, Quote
from byline.usage.prices.tariff import Rates
from byline.usage.prices.update import UpdateError, update

SERVICES: Final[tuple[tuple[str, dict[str, str]], ...]] = (
    ("standard", {}),
    ("batch", {"tier": "batch"}),
    ("flex", {"tier": "flex"}),
    ("priority", {"tier": "priority"}),
    ("fast", {"speed": "fast"}),
    ("us only", {"region": "us"}),
)
_FAMILIAR: Final = "anthropic, openai, aws, azure or google"
COLUMNS: Final = (
    "provider", "model", "service", "above_tokens", "input_per_mtok", "cache_read_per_mtok",
    "cache_write_5m_per_mtok", "cache_write_1h_per_mtok", "output_per_mtok", "web_search_per_1k", "source",
)  # fmt: skip

prices = typer.Typer(help="What tokens cost: look up a model, fetch newer data.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    app.add_typer(prices, name="prices")


@prices.command()
def show(
    model: Annotated[str, typer.Argument(help="A model's name, as clients or providers write it.")],
    provider: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Whose prices; if absent the configured providers', then any.",
            show_default=False,
        ),
    ] = None,
    at: Annotated[
        str | None, typer.Option(metavar="TIME", help="On which day; today if absent.", show_default=False)
    ] = None,
    config: ConfigOption = None,
    format: FormatOption = Format.table,  # noqa: A002 - the option's name
) -> None:
    """What a model is charged, in dollars per million tokens, for each kind of service."""
    settings = load(config, os.environ)
    book = _book(settings)
    now = datetime.now(UTC)
    day = now if at is None else parse_since(at, now, option="--at")
    found = _found(book, settings, provider, model, day)
    if found is None:
        elsewhere = None if provider is None else _found(book, settings, None, model, day)
        raise CommandError(_unknown(book, provider, model, elsewhere and elsewhere[0]))
    write(
        Table(COLUMNS, [*_rows(book, found, model, day)]),
        format,
        title=f"US dollars per million tokens, {book.version}",
    )


@prices.command(name="update")
def update_(config: ConfigOption = None) -> None:
    """Fetch newer price data; what is in use stays unless what comes is whole."""
    settings = load(config, os.environ)
    try:
        kept = update(price_files(settings), settings.prices.update_url, datetime.now(UTC))
    except UpdateError as error:
        raise CommandError(f"{error}; the prices in use stay") from None
    note(
        f"Now in use: {kept.name}. Running servers take it up within a minute; `byline reprice` mends older rows."
    )


def _book(settings: Settings) -> PriceBook:
    try:
        return price_files(settings).load()
    except ValueError as error:
        raise CommandError(str(error)) from None


def _found(
    book: PriceBook, settings: Settings, provider: str | None, model: str, at: datetime
) -> tuple[str, Quote] | None:
    """The first provider whose prices have the model: the one asked for, else those configured, else any."""
    asked = [provider] if provider else [*settings.providers, *book.catalogue.price_lists()]
    quotes = ((name, book.quote(name, model, at)) for name in asked)
    return next((found for found in quotes if found[1].status != "unknown_model"), None)


def _unknown(book: PriceBook, provider: str | None, model: str, elsewhere: str | None) -> str:
    price_list = book.price_list(provider) if provider else None
    if price_list is not None and price_list not in book.catalogue:
        return _unknown_list(book, str(provider))
    if elsewhere is not None:
        return f"{provider} has no price of {model!r}, but {elsewhere} has: --provider {elsewhere}"
    near = {name.replace(".", "-"): name for name in reversed(book.catalogue.nearest(price_list, model))}
    hint = f"; the nearest are {', '.join(reversed(near.values()))}" if near else ""
    return f'no price of {model!r} is known{hint}. An own price goes into prices.overrides_file as [models."PROVIDER/{model}"]'


def _unknown_list(book: PriceBook, provider: str) -> str:
    known = book.catalogue.price_lists()
    near = get_close_matches(provider.lower(), known, n=3)
    nearest = f"the nearest {'is' if len(near) == 1 else 'are'} {', '.join(near)}"
    hint = nearest if near else f"there are {len(known)}, such as {_FAMILIAR}"
    return f"no price list is called {provider!r}; {hint}. Without --provider all are looked through"


def _rows(book: PriceBook, found: tuple[str, Quote], model: str, at: datetime) -> Iterator[tuple[Any, ...]]:
    provider, _ = found
    standard: Quote | None = None
    for service, context in SERVICES:
        quote = book.quote(provider, model, at, **context)
        if quote.tariff is None or (standard is not None and quote.tariff == standard.tariff):
            continue
        standard = standard or quote
        start = (quote.price_list, quote.model, service)
        yield (*start, None, *_per_million(quote.tariff.base), quote.source)
        for band in quote.tariff.bands:
            yield (*start, band.above_tokens, *_per_million(band.rates), quote.source)


def _per_million(rates: Rates) -> tuple[str | None, ...]:
    """As text, so that a table shows all of 0.0625 where it would round money to cents."""
    parts = (
        rates.input,
        rates.cache_read,
        rates.cache_write_5m,
        rates.cache_write_1h,
        rates.output,
        rates.web_search_per_1k,
    )
    return tuple(None if rate is None else f"{rate.normalize():f}" for rate in parts)
