"""What an incident's figures say: the few findings that a person wants before the tables. Pure.

A finding is a code and its values; the words are the reader's business.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final, Literal

import msgspec

from byline.usage.reports.arithmetic import share

Measure = Literal["throttled", "errors", "tokens", "requests"]

MEASURES: Final[tuple[Measure, ...]] = ("throttled", "errors", "tokens", "requests")
"""In the order in which they are told: what hurts, then what may have caused it."""
_GREW_BY: Final = 1.5
_FEWEST: Final[Mapping[Measure, int]] = {"throttled": 3, "errors": 3, "tokens": 10_000, "requests": 20}
"""Changes below these are noise."""
_DRIVER_SHARE: Final = 0.3
"""Who makes up less than this of a growth does not drive it."""
_REQUESTS_OF_A_DRIVER: Final = 10
"""Nobody is named for fewer: people are woken up by it."""


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """A measure that grew, and who drove it if anybody stands out."""

    measure: Measure
    now: int
    before: int
    driver: Mapping[str, Any] | None = None
    """The group with the largest part of the growth: its row."""
    driver_share: float | None = None
    """Its part of the growth, 0..1; over 1 where others shrank meanwhile is cut to 1."""
    too_few: bool = False
    """Somebody stands out, by too few requests to be named."""

    @property
    def factor(self) -> float | None:
        return share(self.now, self.before)


def findings(totals: Mapping[str, Any], groups: Iterable[Mapping[str, Any]]) -> list[Finding]:
    """What grew between two windows, by the totals and by their groups."""
    rows = list(groups)
    return [
        _finding(measure, totals, rows)
        for measure in MEASURES
        if _grew(measure, totals[measure], totals[f"{measure}_before"])
    ]


def _grew(measure: Measure, now: int, before: int) -> bool:
    return now - before >= _FEWEST[measure] and now >= before * _GREW_BY


def _finding(measure: Measure, totals: Mapping[str, Any], rows: list[Mapping[str, Any]]) -> Finding:
    now, before = totals[measure], totals[f"{measure}_before"]
    driver = max(rows, key=lambda row: _growth(measure, row), default=None)
    part = share(_growth(measure, driver), now - before) if driver else None
    if driver is None or part is None or part < _DRIVER_SHARE:
        return Finding(measure=measure, now=now, before=before)
    if driver["requests"] < _REQUESTS_OF_A_DRIVER:
        return Finding(measure=measure, now=now, before=before, too_few=True)
    return Finding(measure=measure, now=now, before=before, driver=driver, driver_share=min(part, 1.0))


def _growth(measure: Measure, row: Mapping[str, Any]) -> int:
    return row[measure] - row[f"{measure}_before"]
