"""Rows grow old, and people are forgotten; the sums stay."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from byline.usage.ledger import (
    CacheQuery,
    CoverageQuery,
    Ledger,
    MoversQuery,
    RequestsQuery,
    SqlLimits,
    UsageQuery,
)
from byline.usage.record import UsageRecord

Make = Callable[..., UsageRecord]
NOON = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)
BEGINNING = datetime(2026, 1, 1, tzinfo=UTC)
MIDNIGHT = datetime(2026, 3, 11, tzinfo=UTC)
"""Windows over folded days are exact where they begin and end with a day."""
CUTOFF = NOON - timedelta(days=30)


@pytest.fixture
def old_and_new(ledger: Ledger, record: Make) -> Ledger:
    """A row every six hours for sixty days, of two users, and an event a day."""
    rows = [
        record(
            started_at=NOON - timedelta(hours=6 * n), user=("ann", "bob", None)[n % 3], job="j" if n % 2 else None,
            team="t", model_reported=f"m{n % 4}", input_tokens=100 + n, cache_read_tokens=n, output_tokens=None,
            cost_usd=Decimal(n) / 1000, credential="client" if n % 5 == 0 else "default", session_id=f"s{n // 8}",
            outcome="rejected" if n % 7 == 0 else "ok",
        )
        for n in range(240)
    ]  # fmt: skip
    ledger.insert_usage(rows)
    ledger.insert_events(
        [{"event_id": f"e{n}", "user": "ann", "occurred_at": NOON - timedelta(days=n)} for n in range(60)]
    )
    return ledger


def sums(ledger: Ledger) -> list[Any]:
    queries = [
        UsageQuery(by=("user",), since=BEGINNING),
        UsageQuery(by=("job", "team"), since=BEGINNING),
        UsageQuery(by=("day", "model", "outcome"), since=BEGINNING),
        UsageQuery(by=("day",), since=BEGINNING, timezone="Europe/Berlin", where={"user": ""}),
        UsageQuery(by=("provider",), since=BEGINNING, include_client_credential=True),
        UsageQuery(by=("client",), since=NOON - timedelta(days=5)),
        CoverageQuery(since=BEGINNING),
        CacheQuery(since=BEGINNING),
        MoversQuery(by=("user",), since=MIDNIGHT - timedelta(days=20), until=MIDNIGHT),
    ]
    return [ledger.report(query) for query in queries]


def without_the_zone_day(found: list[Any]) -> list[Any]:
    """Single rows lie at their hour, sums at noon: near midnight a zone's day may differ."""
    return [table for index, table in enumerate(found) if index != 3]


def test_sums_outlive_their_rows(old_and_new: Ledger) -> None:
    before = without_the_zone_day(sums(old_and_new))
    retired = old_and_new.retire(CUTOFF)
    assert retired == 117
    assert without_the_zone_day(sums(old_and_new)) == before
    assert old_and_new.sql("SELECT count(*) FROM api_usage", SqlLimits()).rows == [(123,)]
    newest_gone = old_and_new.requests(RequestsQuery(since=BEGINNING, until=datetime(2026, 2, 8, tzinfo=UTC)))
    assert newest_gone.rows == []


def test_only_whole_days_go_and_only_once(old_and_new: Ledger) -> None:
    old_and_new.retire(CUTOFF)
    (oldest,) = old_and_new.sql("SELECT min(started_at) FROM api_usage", SqlLimits()).rows[0]
    assert oldest == datetime(2026, 2, 8, tzinfo=UTC)
    assert old_and_new.retire(CUTOFF) == 0
    (first_event,) = old_and_new.sql("SELECT min(occurred_at) FROM api_events", SqlLimits()).rows[0]
    assert first_event == datetime(2026, 2, 8, 12, tzinfo=UTC)


def test_sums_are_there_after_a_restart(old_and_new: Ledger, open_ledger: Callable[[], Ledger]) -> None:
    before = without_the_zone_day(sums(old_and_new))
    old_and_new.retire(CUTOFF)
    old_and_new.close()
    assert without_the_zone_day(sums(open_ledger())) == before


def test_rows_that_come_late_are_folded_next_time(old_and_new: Ledger, record: Make) -> None:
    old_and_new.retire(CUTOFF)
    old_and_new.insert_usage([record(started_at=CUTOFF - timedelta(days=9), user="late", input_tokens=1)])
    before = without_the_zone_day(sums(old_and_new))
    assert old_and_new.retire(CUTOFF) == 1
    assert without_the_zone_day(sums(old_and_new)) == before


def test_a_row_delivered_again_counts_twice_once_its_day_is_folded(ledger: Ledger, record: Make) -> None:
    """The price of letting ids go: what comes late is kept, also where it has been there before."""
    row = record(started_at=CUTOFF - timedelta(days=2), user="ann", input_tokens=7, cost_usd=Decimal(1))
    by_user = UsageQuery(by=("user",), since=BEGINNING)
    ledger.insert_usage([row])
    assert ledger.insert_usage([row]) == 0
    ledger.retire(CUTOFF)
    assert ledger.insert_usage([row]) == 1
    (sums,) = ledger.usage(by_user).dicts()
    assert (sums["requests"], sums["input_tokens"], sums["cost_usd"]) == (2, 14, 2)
    ledger.retire(CUTOFF)
    assert ledger.usage(by_user).dicts() == [sums]


def test_a_forgotten_user_is_nowhere_and_the_sums_stay(ledger: Ledger, record: Make) -> None:
    traces = {
        "email": "ann@example.com", "identifier": "act_ann", "metadata_user_id": "act_ann", "actor_id": "act_ann",
        "key_id": "key_ann", "client_metadata_user_id": "ann-laptop", "claimed_user": "ann", "device_id": "d-ann",
        "account_id": "acc-ann", "claude_code_session_id": "s-ann", "session_id": "s-ann", "agent_id": "a-ann",
        "parent_agent_id": "pa-ann", "prompt_id": "p-ann", "trace_id": "t-ann", "span_id": "sp-ann",
        "parent_span_id": "ps-ann",
    }  # fmt: skip
    ledger.insert_usage(
        [
            record(user="ann", team="t", input_tokens=5, cost_usd=Decimal(1), **traces),
            record(user="ann", team="t", session_id="s-ann", started_at=NOON - timedelta(days=90)),
            record(user="bob", claimed_user="ann", actor_id="act_bob", input_tokens=7),
        ]
    )
    ledger.insert_events(
        [
            {
                "event_id": "e",
                "user": "ann",
                "device_id": "d-ann",
                "pii_email": "x@example.com",
                "occurred_at": NOON,
            }
        ]
    )
    ledger.retire(CUTOFF)
    by_team = UsageQuery(by=("team",), since=datetime(2025, 1, 1, tzinfo=UTC))
    before = ledger.usage(by_team)
    assert ledger.forget("ann", "forgotten-1") == 2
    assert ledger.usage(by_team) == before
    left = [
        ledger.sql(f"SELECT * FROM {view}", SqlLimits()).dicts()
        for view in ("api_usage", "api_usage_daily", "api_events")
    ]
    assert "ann" not in str(left)
    rows = ledger.usage(UsageQuery(by=("user",), since=datetime(2025, 1, 1, tzinfo=UTC))).dicts()
    assert {row["user"]: row["requests"] for row in rows} == {"forgotten-1": 2, "bob": 1}
    assert ledger.forget("ann", "forgotten-2") == 0


def test_rows_of_one_session_still_belong_together_when_forgotten(ledger: Ledger, record: Make) -> None:
    ledger.insert_usage([record(user="ann", session_id=session) for session in ("s1", "s1", "s2")])
    ledger.forget("ann", "forgotten")
    sessions = ledger.usage(UsageQuery(by=("session",), since=BEGINNING)).dicts()
    assert sorted(row["requests"] for row in sessions) == [1, 2]
