"""Quota for people: a bar for each window, and when it opens again in the reader's zone."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, tzinfo
from typing import Final

from byline.cli.report_table import Options
from byline.gateway.quota import CredentialQuota
from byline.quota.snapshot import Window
from byline.quota.statusline import bar
from byline.usage.ledger import Table

COLUMNS: Final = ("credential", "window", "used", "status", "resets", "left", "as_of")
_BAR_CELLS: Final = 6
"""With its figure twelve columns, the least that a narrow terminal leaves to text."""
_SPANS: Final = ((86_400, "d"), (3600, "h"), (60, "min"), (1, "s"))


def people_table(kept: Iterable[CredentialQuota], now: float, zone: tzinfo | None) -> Table:
    """`zone` None is that of this process."""
    rows: list[tuple[str | None, ...]] = []
    for each in kept:
        snapshot = each.snapshot.as_of(now)
        whose, as_of = f"{each.provider} {each.credential}", _ago(now - snapshot.observed_at)
        for name, window in snapshot.windows.items():
            resets = _clock(window.resets_at, zone)
            rows.append((whose, name, _used(window), _status(window), resets, _left(window), as_of))
    return Table(columns=COLUMNS, rows=rows)


def options(now: float, zone: tzinfo | None) -> Options:
    return Options(headings={"resets": f"resets ({_at(now, zone):%Z})", "as_of": "as of"})


def _used(window: Window) -> str | None:
    used = window.utilization
    return None if used is None else f"{bar(used, _BAR_CELLS)} {used * 100:.0f} %"


def _status(window: Window) -> str | None:
    return None if window.status is None else window.status.removeprefix("allowed_")


def _left(window: Window) -> str | None:
    if window.remaining is None:
        return None if window.limit is None else f"? of {window.limit:,}"
    return f"{window.remaining:,}" + ("" if window.limit is None else f" of {window.limit:,}")


def _clock(epoch_s: int | None, zone: tzinfo | None) -> str | None:
    return None if epoch_s is None else f"{_at(epoch_s, zone):%b %d %H:%M}"


def _at(epoch_s: float, zone: tzinfo | None) -> datetime:
    return datetime.fromtimestamp(epoch_s, UTC).astimezone(zone)


def _ago(seconds: float) -> str:
    for length_s, unit in _SPANS:
        if seconds >= length_s:
            return f"{seconds / length_s:.0f} {unit} ago"
    return "now"
