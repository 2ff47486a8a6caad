"""Own prices: `byline serve` does not start with a file that can't be used."""

from __future__ import annotations

from collections.abc import Iterator

from byline.assembly.ledger import current_prices
from byline.cli.doctor.finding import Finding
from byline.settings import Settings, SettingsError


def look(settings: Settings) -> Iterator[Finding]:
    """Only where there are own prices: reading the lists takes longer than the rest."""
    if settings.prices.overrides_file is None:
        return
    try:
        current_prices(settings)
    except SettingsError as error:
        yield Finding("prices", "failed", str(error), "correct prices.overrides_file")
    else:
        yield Finding("prices", "ok", f"own prices of {settings.prices.overrides_file}")
