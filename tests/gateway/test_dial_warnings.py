"""What the log says of a provider that can't be reached."""

from __future__ import annotations

import logging

import pytest

from byline.gateway.dial_warnings import DialWarnings
from byline.gateway.upstream.origin import Origin

HERE, THERE = Origin("https", "api.example", 443), Origin("https", "other.example", 443)


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.INFO)
    return caplog


def test_the_first_failure_is_said_at_once_and_the_next_after_a_minute_with_their_number(
    log: pytest.LogCaptureFixture,
) -> None:
    warnings = DialWarnings()
    for now in (100.0, 100.1, 130.0, 159.9, 160.0, 220.0, 221.0):
        warnings.failed("anthropic", HERE, "no connection", now)
    assert [(record.levelname, record.getMessage()) for record in log.records] == [
        ("WARNING", "anthropic can't be reached: no connection"),
        ("WARNING", "anthropic can't be reached: no connection (3 more since the last line)"),
        ("WARNING", "anthropic can't be reached: no connection"),
    ]


def test_each_origin_has_lines_of_its_own(log: pytest.LogCaptureFixture) -> None:
    warnings = DialWarnings()
    warnings.failed("anthropic", HERE, "no", 0.0)
    warnings.failed("openai", THERE, "no", 0.0)
    assert log.messages == ["anthropic can't be reached: no", "openai can't be reached: no"]


def test_an_origin_that_comes_and_goes_makes_no_flood(log: pytest.LogCaptureFixture) -> None:
    warnings = DialWarnings()
    warnings.succeeded("anthropic", HERE)
    for now in range(50):
        warnings.failed("anthropic", HERE, "no", float(now))
        warnings.succeeded("anthropic", HERE)
    assert log.messages == ["anthropic can't be reached: no", "anthropic is reached again"]
