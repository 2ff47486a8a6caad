"""A provider that captures, and a process environment without anybody's identity."""

from __future__ import annotations

import gc
import warnings
from collections.abc import Iterator

import pytest

from byline.runtime import answers, quiet, recording
from byline.testing import SimulatedProvider

VARIABLES = (
    "ANTHROPIC_CUSTOM_HEADERS",
    "BYLINE_DATA_DIR",
    "BYLINE_HASH_KEY",
    "BYLINE_IDENTITY",
    "BYLINE_IDENTITY__MAX_LENGTH",
    "BYLINE_KEY",
    "BYLINE_URL",
    "CLAUDE_CODE_EXTRA_METADATA",
    "CLAUDE_CODE_SESSION_ID",
    "OTEL_RESOURCE_ATTRIBUTES",
)


@pytest.fixture
def provider() -> Iterator[SimulatedProvider]:
    with SimulatedProvider() as simulated:
        yield simulated


@pytest.fixture(autouse=True)
def fresh_runtime(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    observers = list(answers.OBSERVERS)
    quiet._said.clear()
    yield
    answers.OBSERVERS[:] = observers
    answers.tap_answers(None)
    if recording._outbox is not None:
        recording._outbox.close()
        recording._outbox = None


@pytest.fixture(autouse=True)
def _sockets_that_others_leave_open() -> Iterator[None]:
    """Frameworks drop their HTTP clients unclosed; that must not count against a later test."""
    yield
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()
