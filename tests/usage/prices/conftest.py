from __future__ import annotations

import pytest

from byline.usage.prices.book import PriceBook
from byline.usage.prices.catalogue import Catalogue, bundled


@pytest.fixture(scope="session")
def catalogue() -> Catalogue:
    return bundled()


@pytest.fixture(scope="session")
def book(catalogue: Catalogue) -> PriceBook:
    return PriceBook(catalogue)
