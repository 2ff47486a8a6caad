"""The unified family, case by case."""

from __future__ import annotations

import pytest
from tests.quota.header_cases import CASES, Case

from byline.quota.reading import read_quota

NOW = 1_795_000_000


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_summary_is_what_the_headers_mean(case: Case) -> None:
    snapshot = read_quota(case.lines(NOW), status_code=case.status_code, now=NOW)
    expected = case.expectation(NOW)
    assert {name: getattr(snapshot, name) for name in expected} == expected
