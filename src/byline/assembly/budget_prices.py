"""What a worker knows of prices, loaded once there is a budget of money to hold."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from byline.assembly.ledger import price_files
from byline.budgets.estimate import Rates
from byline.budgets.limits import micros
from byline.settings import Settings
from byline.usage.record import UsageRecord

if TYPE_CHECKING:
    from byline.usage.prices.book import PriceBook

EXPENSIVE: Final[Rates] = (15.0, 75.0)
"""Dollars per million tokens, which are millionths per token: for models that no price list has. Nothing is
free for being unknown."""
MAX_MODELS: Final = 4096


class BudgetPrices:
    """Not loaded, everything costs `EXPENSIVE`: the price data takes half a second and 15 MB."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._book: PriceBook | None = None
        self._stamp: object = None
        self._rates: dict[tuple[str, str], Rates] = {}
        self._day = -1

    @property
    def is_loaded(self) -> bool:
        return self._book is not None

    def load(self) -> None:
        """Reads the newest price data if there is other than what is known; may run in a thread."""
        files = price_files(self._settings)
        stamp = files.stamp()
        if self._book is None or stamp != self._stamp:
            self._book, self._stamp = files.load(), stamp
            self._rates = {}

    def rates_of(self, provider: str, model: str) -> Rates:
        known = self._rates.get((provider, model))
        if known is None:
            if len(self._rates) >= MAX_MODELS:
                self._rates.clear()
            known = self._rates[provider, model] = self._look_up(provider, model)
        return known

    def forget_rates(self) -> None:
        """Prices may change with the day."""
        self._rates = {}

    def cost_of(self, record: UsageRecord) -> int | None:
        """What the ledger will charge for the row, in millionths of a dollar. Prices `record` on the way."""
        if self._book is not None:
            from byline.usage.prices.cost import price

            price(record, self._book)
        if record.cost_usd is not None:
            return micros(record.cost_usd)
        if record.input_tokens is None and record.output_tokens is None:
            return None
        input_rate, output_rate = EXPENSIVE
        return int((record.input_tokens or 0) * input_rate + (record.output_tokens or 0) * output_rate) + 1

    def _look_up(self, provider: str, model: str) -> Rates:
        if self._book is None or not model:
            return EXPENSIVE
        from datetime import UTC, datetime

        quote = self._book.quote(provider, model, datetime.now(UTC))
        if quote.tariff is None or quote.tariff.base.input is None or quote.tariff.base.output is None:
            return EXPENSIVE
        return float(quote.tariff.base.input), float(quote.tariff.base.output)
