"""Reports against the same sums done by hand, over rows of every kind."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from random import Random
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from byline.usage.ledger import Ledger, UsageQuery
from byline.usage.record import UsageRecord

SINCE = datetime(2026, 3, 1, tzinfo=UTC)
UNTIL = datetime(2026, 4, 10, tzinfo=UTC)
TOKENS = ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens")
GROUPS: dict[str, Callable[[UsageRecord, ZoneInfo], Any]] = {
    "user": lambda row, _: row.user,
    "job": lambda row, _: row.job,
    "model": lambda row, _: row.model_reported or row.model_requested,
    "session": lambda row, _: row.session_id,
    "outcome": lambda row, _: row.outcome,
    "day": lambda row, zone: row.started_at.astimezone(zone).date().isoformat(),
    "hour": lambda row, zone: (
        row.started_at.astimezone(zone).replace(minute=0, second=0, microsecond=0).astimezone(UTC)
    ),
}


@pytest.fixture
def rows(ledger: Ledger, record: Callable[..., UsageRecord]) -> list[UsageRecord]:
    """2,000 rows over a spring change of clocks, some outside the window, many with gaps."""
    random = Random(20260310)

    def maybe(value: Any) -> Any:
        return None if random.random() < 0.3 else value

    made = [
        record(
            started_at=SINCE + timedelta(seconds=random.randrange(-86_400, 41 * 86_400), microseconds=random.randrange(10**6)),
            user=maybe(random.choice(["ann", "bob", "zoë"])),
            job=maybe(f"job-{random.randrange(9)}"),
            model_requested=maybe("m"),
            model_reported=maybe(random.choice(["m-1", "m-2"])),
            session_id=maybe(f"s{random.randrange(300)}"),
            outcome=random.choice(["ok", "ok", "ok", "upstream_error", "rejected", "interrupted"]),
            credential=maybe(random.choice(["client", "default"])),
            cost_usd=maybe(Decimal(random.randrange(10**15)).scaleb(-12)),
            **{name: maybe(random.randrange(10**6)) for name in TOKENS},
        )
        for _ in range(2_000)
    ]  # fmt: skip
    for start in range(0, len(made), 700):
        ledger.insert_usage(made[start : start + 750])
    return made


def total(values: list[Any]) -> Any:
    known = [value for value in values if value is not None]
    return sum(known[1:], known[0]) if known else None


def by_hand(
    rows: list[UsageRecord], by: tuple[str, ...], zone: ZoneInfo
) -> dict[tuple[Any, ...], tuple[Any, ...]]:
    groups: defaultdict[tuple[Any, ...], list[UsageRecord]] = defaultdict(list)
    for row in rows:
        if SINCE <= row.started_at < UNTIL:
            groups[tuple(GROUPS[name](row, zone) for name in by)].append(row)
    return {
        key: (
            sum(row.outcome != "rejected" for row in found),
            sum(row.outcome == "rejected" for row in found),
            *(total([getattr(row, name) for row in found]) for name in TOKENS),
            total([row.cost_usd for row in found if row.credential != "client"]),
        )
        for key, found in groups.items()
    }


@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin", "America/St_Johns"])
@pytest.mark.parametrize("by", [(), ("user",), ("job", "model"), ("session",), ("day",), ("hour", "outcome")])
def test_usage_is_what_adding_up_by_hand_gives(
    ledger: Ledger, rows: list[UsageRecord], by: tuple[str, ...], zone: str
) -> None:
    answer = ledger.usage(UsageQuery(by=by, since=SINCE, until=UNTIL, timezone=zone)).rows
    found = {row[: len(by)]: row[len(by) :] for row in answer}
    assert found == by_hand(rows, by, ZoneInfo(zone))
    assert len(answer) == len(found)
