"""Frameworks and SDKs as they come."""

from __future__ import annotations

import gc
import warnings
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def _sockets_that_others_leave_open() -> Iterator[None]:
    """Frameworks drop their HTTP clients unclosed; that must not count against a later test."""
    yield
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()
