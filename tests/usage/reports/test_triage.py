from __future__ import annotations

from typing import Any

from byline.usage.reports.triage import findings


def figures(**values: tuple[int, int]) -> dict[str, Any]:
    row: dict[str, Any] = {}
    for name in ("requests", "tokens", "throttled", "errors"):
        row[name], row[f"{name}_before"] = values.get(name, (0, 0))
    return row


def test_nothing_is_found_where_nothing_grew() -> None:
    assert findings(figures(requests=(100, 100), tokens=(50_000, 90_000)), []) == []


def test_small_changes_are_noise() -> None:
    assert findings(figures(requests=(5, 0), throttled=(2, 0), errors=(1, 0), tokens=(900, 0)), []) == []


def test_what_hurts_is_told_first() -> None:
    totals = figures(requests=(500, 100), tokens=(900_000, 10_000), throttled=(40, 0), errors=(9, 1))
    assert [finding.measure for finding in findings(totals, [])] == [
        "throttled",
        "errors",
        "tokens",
        "requests",
    ]


def test_the_driver_is_who_made_the_growth_and_not_who_is_largest() -> None:
    large = {"user": "large", **figures(tokens=(900_000, 900_000))}
    grown = {"user": "grown", **figures(tokens=(800_000, 1_000), requests=(10, 0))}
    (finding,) = findings(figures(tokens=(1_700_000, 901_000)), [large, grown])
    assert finding.driver == grown
    assert finding.driver_share == 1.0
    assert finding.factor == 1_700_000 / 901_000


def test_growth_across_many_has_no_driver() -> None:
    groups = [{"user": str(n), **figures(requests=(100, 10))} for n in range(10)]
    (finding,) = findings(figures(requests=(1000, 100)), groups)
    assert finding.driver is None


def test_a_first_window_has_no_factor() -> None:
    (finding,) = findings(figures(throttled=(9, 0)), [])
    assert finding.factor is None


def test_nobody_is_named_for_a_handful_of_requests() -> None:
    few = {"user": "few", **figures(tokens=(800_000, 0), requests=(9, 500))}
    (finding,) = findings(figures(tokens=(900_000, 0), requests=(9, 500)), [few])
    assert (finding.measure, finding.driver, finding.too_few) == ("tokens", None, True)


def test_growth_across_many_is_not_called_too_little() -> None:
    groups = [{"user": str(n), **figures(tokens=(90_000, 0), requests=(2, 0))} for n in range(10)]
    (finding,) = findings(figures(tokens=(900_000, 0), requests=(19, 0)), groups)
    assert (finding.driver, finding.too_few) == (None, False)
