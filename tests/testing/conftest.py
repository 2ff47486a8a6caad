from __future__ import annotations

from collections.abc import Iterator

import pytest

from byline.testing import SimulatedProvider

NOON = 1_790_000_000.0


@pytest.fixture
def provider() -> Iterator[SimulatedProvider]:
    with SimulatedProvider(now=lambda: NOON) as running:
        yield running
