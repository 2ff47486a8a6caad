"""What every engine answers."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from byline.usage.ledger import (
    CacheQuery,
    CoverageQuery,
    ErrorsQuery,
    IncidentQuery,
    LatencyQuery,
    Ledger,
    MoversQuery,
    QueryError,
    RequestsQuery,
    UsageQuery,
)
from byline.usage.record import UsageRecord

Make = Callable[..., UsageRecord]
NOON = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)
TODAY = NOON - timedelta(hours=12)
YESTERDAY = TODAY - timedelta(days=1)
BEGINNING = datetime(2026, 1, 1, tzinfo=UTC)


def by(ledger: Ledger, *groups: str, **fields: Any) -> list[tuple[Any, ...]]:
    return ledger.usage(UsageQuery(by=groups, **{"since": BEGINNING, **fields})).rows


def test_usage_has_the_groups_then_the_fixed_columns(ledger: Ledger, record: Make) -> None:
    ledger.insert_usage([record(user="ann", job="j")])
    table = ledger.usage(UsageQuery(by=("user", "job"), since=BEGINNING))
    assert table.columns == (
        "user", "job",
        "requests", "rejected", "input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens", "cost_usd",
    )  # fmt: skip


def test_usage_adds_up_exactly_and_shows_the_dearest_first(ledger: Ledger, record: Make) -> None:
    tokens = {"input_tokens": 10, "output_tokens": 5, "cache_read_tokens": 3, "cache_write_tokens": 1}
    ledger.insert_usage(
        [
            record(user="ann", cost_usd=Decimal("0.1"), **tokens),
            record(user="ann", cost_usd=Decimal("0.2"), **tokens),
            record(user="bob", cost_usd=Decimal("0.000000000003"), **tokens),
            record(cost_usd=Decimal(7), **tokens),
        ]
    )
    assert by(ledger, "user") == [
        (None, 1, 0, 10, 5, 3, 1, Decimal(7)),
        ("ann", 2, 0, 20, 10, 6, 2, Decimal("0.3")),
        ("bob", 1, 0, 10, 5, 3, 1, Decimal("0.000000000003")),
    ]


def test_the_dearest_come_first_by_amount_and_not_by_digits(ledger: Ledger, record: Make) -> None:
    costs = {"ann": 9, "bob": 100, "cy": 20, "di": None}
    ledger.insert_usage(
        [record(user=user, cost_usd=None if cost is None else Decimal(cost)) for user, cost in costs.items()]
    )
    assert [row[0] for row in by(ledger, "user")] == ["bob", "cy", "ann", "di"]
    assert [row[0] for row in by(ledger, "user", limit=2)] == ["bob", "cy"]


def test_sums_of_more_than_64_bits_are_exact(ledger: Ledger, record: Make) -> None:
    largest, dearest = 2**63 - 1, Decimal("999999.999999999999")
    ledger.insert_usage([record(input_tokens=largest, cost_usd=dearest) for _ in range(20)])
    [row] = by(ledger, "user")
    assert (row[3], row[-1]) == (20 * largest, 20 * dearest)


def test_refusals_are_counted_apart_from_requests(ledger: Ledger, record: Make) -> None:
    ledger.insert_usage(
        [record(outcome=outcome) for outcome in ("ok", "interrupted", "rejected", "rejected")]
    )
    assert by(ledger) == [(2, 2, None, None, None, None, None)]


def test_sums_of_nothing_reported_are_null(ledger: Ledger, record: Make) -> None:
    ledger.insert_usage([record(user="a", output_tokens=0), record(user="b")])
    assert [row[:1] + row[3:5] for row in by(ledger, "user")] == [("a", None, 0), ("b", None, None)]


def test_a_count_of_nothing_is_zero_also_where_daily_sums_are_added(ledger: Ledger, record: Make) -> None:
    nothing = [(0, 0, None, None, None, None, None)]
    assert by(ledger) == nothing
    ledger.insert_usage([record(user="ann", started_at=BEGINNING)])
    ledger.retire(NOON - timedelta(days=1))
    assert by(ledger, where={"user": "ann"})[0][0] == 1
    assert by(ledger, where={"user": "bob"}) == nothing


def test_cost_on_the_clients_own_credential_is_no_spend_unless_asked_for(
    ledger: Ledger, record: Make
) -> None:
    ledger.insert_usage(
        [
            record(cost_usd=Decimal(1), credential="client"),
            record(cost_usd=Decimal(2), credential="default"),
            record(cost_usd=Decimal(4)),
        ]
    )
    assert by(ledger)[0][-1] == 6
    assert by(ledger, include_client_credential=True)[0][-1] == 7
    assert by(ledger, include_client_credential=True)[0][0] == 3


def test_every_dimension_groups(ledger: Ledger, record: Make) -> None:
    ledger.insert_usage(
        [
            record(
                user="u", team="t", job="j", model_requested="m", model_reported="m-1", session_id="s",
                client="c/1", started_at=NOON,
            )
        ]
    )  # fmt: skip
    found = {
        name: by(ledger, name)[0][0]
        for name in (
            "user",
            "team",
            "job",
            "model",
            "provider",
            "day",
            "hour",
            "session",
            "client",
            "outcome",
        )
    }
    assert found == {
        "user": "u", "team": "t", "job": "j", "model": "m-1", "provider": "anthropic", "day": "2026-03-10",
        "hour": NOON, "session": "s", "client": "c/1", "outcome": "ok",
    }  # fmt: skip


def test_the_requested_model_stands_in_where_none_was_reported(ledger: Ledger, record: Make) -> None:
    ledger.insert_usage([record(model_requested="m"), record(model_requested="m", model_reported="m-1")])
    assert sorted(row[0] for row in by(ledger, "model")) == ["m", "m-1"]
    assert by(ledger, where={"model": "m"})[0][0] == 1


@pytest.mark.parametrize(
    ("zone", "expected"),
    [
        ("UTC", [("2026-03-28", 1), ("2026-03-29", 2), ("2026-03-30", 1)]),
        # 2026-03-29 has 23 hours in Berlin: clocks go from 02:00 to 03:00.
        ("Europe/Berlin", [("2026-03-29", 3), ("2026-03-30", 1)]),
        ("America/Los_Angeles", [("2026-03-28", 2), ("2026-03-29", 2)]),
        ("Asia/Kolkata", [("2026-03-29", 2), ("2026-03-30", 2)]),
    ],
)
def test_days_begin_when_they_do_in_the_zone(
    ledger: Ledger, record: Make, zone: str, expected: list[tuple[str, int]]
) -> None:
    times = ["2026-03-28T23:30", "2026-03-29T00:59", "2026-03-29T21:59", "2026-03-30T02:30"]
    ledger.insert_usage([record(started_at=datetime.fromisoformat(f"{time}+00:00")) for time in times])
    assert [row[:2] for row in by(ledger, "day", timezone=zone)] == expected


def test_hours_begin_when_they_do_in_the_zone(ledger: Ledger, record: Make) -> None:
    ledger.insert_usage([record(started_at=NOON + timedelta(minutes=minute)) for minute in (0, 29, 30, 59)])
    assert [row[:2] for row in by(ledger, "hour", timezone="Asia/Kolkata")] == [
        (NOON - timedelta(minutes=30), 2),
        (NOON + timedelta(minutes=30), 2),
    ]


def test_times_order_groups_by_time(ledger: Ledger, record: Make) -> None:
    for day, cost in ((0, 1), (1, 9), (2, 5)):
        ledger.insert_usage([record(started_at=NOON - timedelta(days=day), cost_usd=Decimal(cost))])
    assert [row[0] for row in by(ledger, "day")] == ["2026-03-08", "2026-03-09", "2026-03-10"]


def test_since_is_inside_the_window_and_until_outside(ledger: Ledger, record: Make) -> None:
    ledger.insert_usage([record(started_at=NOON), record(started_at=NOON + timedelta(hours=1))])
    assert by(ledger, since=NOON, until=NOON + timedelta(hours=1))[0][0] == 1
    assert by(ledger, since=NOON)[0][0] == 2


def test_filters_take_columns_and_missing_values(ledger: Ledger, record: Make) -> None:
    ledger.insert_usage([record(user="a", http_status=429), record(user="a", streaming=True), record()])
    assert by(ledger, where={"user": "a"})[0][0] == 2
    assert by(ledger, where={"user": ""})[0][0] == 1
    assert by(ledger, where={"http_status": "429", "streaming": "false"})[0][0] == 1


@pytest.mark.parametrize(
    ("query", "message"),
    [
        (UsageQuery(by=("colour",), since=NOON), "colour"),
        (UsageQuery(by=("day",), since=NOON, timezone="Mars/Olympus"), "Mars/Olympus"),
        (UsageQuery(by=(), since=NOON, where={"x; DROP TABLE api_usage": "1"}), "DROP"),
        (UsageQuery(by=(), since=NOON, where={"http_status": "many"}), "http_status"),
        (UsageQuery(by=(), since=NOON, where={"day": "2026-03-10"}), "since"),
        (UsageQuery(by=(), since=NOON.replace(tzinfo=None)), "time zone"),
        (MoversQuery(by=("user",), since=NOON, until=NOON), "before it begins"),
    ],
)
def test_a_question_that_makes_no_sense_is_refused_by_name(ledger: Ledger, query: Any, message: str) -> None:
    with pytest.raises(QueryError, match=message):
        ledger.report(query)


def test_a_limit_keeps_the_first_groups(ledger: Ledger, record: Make) -> None:
    ledger.insert_usage([record(session_id=f"s{n}", cost_usd=Decimal(n)) for n in range(5)])
    assert [row[0] for row in by(ledger, "session", limit=2)] == ["s4", "s3"]


def test_requests_come_newest_first(ledger: Ledger, record: Make) -> None:
    ledger.insert_usage([record() for _ in range(5)])
    table = ledger.requests(RequestsQuery(since=YESTERDAY, limit=3))
    assert [row["request_id"] for row in table.dicts()] == ["r4", "r3", "r2"]


def test_requests_are_found_by_each_filter(ledger: Ledger, record: Make) -> None:
    ledger.insert_usage(
        [
            record(user="ann"),
            record(job="j"),
            record(session_id="s"),
            record(outcome="upstream_error"),
            record(identifier="act_9"),
            record(metadata_user_id="act_9"),
            record(client_metadata_user_id="act_9"),
        ]
    )

    def found(**filters: Any) -> list[str]:
        table = ledger.requests(RequestsQuery(since=YESTERDAY, **filters))
        return [row["request_id"] for row in table.dicts()]

    assert found(user="ann") == ["r0"]
    assert found(job="j") == ["r1"]
    assert found(session="s") == ["r2"]
    assert found(outcome="upstream_error") == ["r3"]
    assert found(identifier="act_9") == ["r6", "r5", "r4"]
    assert found(identifier="act_9", user="ann") == []
    assert found(where={"job": "j"}) == ["r1"]


def test_a_row_with_an_identifier_in_several_places_comes_once(ledger: Ledger, record: Make) -> None:
    places = ("identifier", "metadata_user_id", "client_metadata_user_id")
    chosen = [[name for bit, name in enumerate(places) if number >> bit & 1] for number in range(8)]
    ledger.insert_usage([record(**dict.fromkeys(names, "act_9")) for names in chosen])
    ledger.insert_usage([record(**dict.fromkeys(names, "act_8")) for names in chosen])

    def found(limit: int) -> list[str]:
        query = RequestsQuery(since=YESTERDAY, identifier="act_9", limit=limit)
        return [row["request_id"] for row in ledger.requests(query).dicts()]

    assert found(50) == [f"r{number}" for number in range(7, 0, -1)]
    assert found(3) == ["r7", "r6", "r5"]


def test_coverage_gives_shares_of_requests_and_of_tokens(ledger: Ledger, record: Make) -> None:
    ledger.insert_usage(
        [
            record(user="a", job="j", input_tokens=30, output_tokens=10),
            record(user="a", input_tokens=60),
            record(),
            record(),
            record(user="a", outcome="rejected"),
        ]
    )
    (row,) = ledger.report(CoverageQuery(since=BEGINNING)).dicts()
    assert (row["requests"], row["requests_with_user"], row["requests_with_job"]) == (4, 2, 1)
    assert (row["requests_user_share"], row["requests_job_share"]) == (0.5, 0.25)
    assert (row["tokens"], row["tokens_user_share"], row["tokens_job_share"]) == (100, 1.0, 0.4)


def test_coverage_of_nothing_has_no_shares(ledger: Ledger) -> None:
    (row,) = ledger.report(CoverageQuery(since=BEGINNING)).dicts()
    assert (row["requests"], row["requests_user_share"]) == (0, None)


def test_movers_show_the_largest_change_either_way(ledger: Ledger, record: Make) -> None:
    now, before = NOON - timedelta(hours=1), NOON - timedelta(hours=3)
    ledger.insert_usage(
        [
            record(user="grew", started_at=before, cost_usd=Decimal(1)),
            record(user="grew", started_at=now, cost_usd=Decimal(4)),
            record(user="gone", started_at=before, cost_usd=Decimal(9)),
            record(user="new", started_at=now, cost_usd=Decimal(2), output_tokens=5),
            record(user="ancient", started_at=NOON - timedelta(hours=9), cost_usd=Decimal(100)),
        ]
    )
    query = MoversQuery(by=("user",), since=NOON - timedelta(hours=2), until=NOON)
    rows = ledger.report(query).dicts()
    assert [
        (row["user"], row["cost_usd"], row["cost_usd_before"], row["cost_change_usd"]) for row in rows
    ] == [
        ("gone", None, Decimal(9), Decimal(-9)),
        ("grew", Decimal(4), Decimal(1), Decimal(3)),
        ("new", Decimal(2), None, Decimal(2)),
    ]
    assert [(row["requests"], row["requests_before"], row["tokens"]) for row in rows][2] == (1, 0, 5)


def test_percentiles_are_those_of_whole_answers(ledger: Ledger, record: Make) -> None:
    ledger.insert_usage(
        [record(model_requested="m", duration_ms=float(n), ttft_ms=n / 10) for n in range(1, 101)]
        + [record(model_requested="m", duration_ms=1e9, outcome="client_disconnect")]
    )
    (row,) = ledger.report(LatencyQuery(since=BEGINNING)).dicts()
    assert (row["model"], row["requests"]) == ("m", 100)
    assert [row[f"duration_{p}_ms"] for p in ("p50", "p95", "p99")] == pytest.approx([50, 95, 99], rel=0.006)
    assert row["ttft_p50_ms"] == pytest.approx(5, rel=0.006)


def test_percentiles_are_close_whatever_the_scale(ledger: Ledger, record: Make) -> None:
    for group, scale in (("a", 0.01), ("b", 1.0), ("c", 1e6)):
        ledger.insert_usage([record(job=group, duration_ms=scale * 1.01**n) for n in range(1000)])
    ledger.insert_usage([record(duration_ms=0.0)])
    rows = ledger.report(LatencyQuery(since=BEGINNING, by=("job",))).dicts()
    found = {row["job"]: row["duration_p95_ms"] for row in rows}
    expected = {group: scale * 1.01**949 for group, scale in (("a", 0.01), ("b", 1.0), ("c", 1e6))}
    assert {group: found[group] for group in expected} == pytest.approx(expected, rel=0.006)
    assert found[None] < 0.01
    assert {row["ttft_p50_ms"] for row in rows} == {None}


def test_the_cache_hit_share_is_of_all_input(ledger: Ledger, record: Make) -> None:
    ledger.insert_usage(
        [
            record(model_requested="m", input_tokens=75, cache_read_tokens=50),
            record(model_requested="m", input_tokens=25, cache_read_tokens=0),
            record(model_requested="none"),
        ]
    )
    shares = {row["model"]: row["hit_share"] for row in ledger.report(CacheQuery(since=BEGINNING)).dicts()}
    assert shares == {"m": 0.5, "none": None}


def test_errors_are_broken_down_by_how_they_failed(ledger: Ledger, record: Make) -> None:
    limited = {"outcome": "upstream_error", "http_status": 429, "error_type": "rate_limit_error"}
    ledger.insert_usage([record(), record(**limited), record(**limited), record(outcome="client_disconnect")])
    rows = ledger.report(ErrorsQuery(since=BEGINNING)).dicts()
    assert [(row["outcome"], row["http_status"], row["error_type"], row["requests"]) for row in rows] == [
        ("upstream_error", 429, "rate_limit_error", 2),
        ("client_disconnect", None, None, 1),
    ]
    assert rows[0]["last_at"] == NOON - timedelta(hours=1) + timedelta(seconds=2)


def test_an_incident_leaves_out_what_clients_pay_themselves(ledger: Ledger, record: Make) -> None:
    started = NOON - timedelta(minutes=10)
    ledger.insert_usage(
        [
            record(user="u", started_at=started, cost_usd=Decimal(1), credential="client"),
            record(user="u", started_at=started, cost_usd=Decimal(2), credential="default"),
        ]
    )
    (row,) = ledger.report(IncidentQuery(since=NOON - timedelta(minutes=30), until=NOON)).dicts()
    assert (row["requests"], row["cost_usd"]) == (2, 2)


def test_an_incident_sets_the_window_against_the_one_before(ledger: Ledger, record: Make) -> None:
    now, before = NOON - timedelta(minutes=10), NOON - timedelta(minutes=40)
    noisy = {"user": "u", "job": "noisy"}
    ledger.insert_usage(
        [record(**noisy, started_at=before, input_tokens=5)]
        + [record(**noisy, started_at=now, input_tokens=100, output_tokens=10) for _ in range(3)]
        + [record(**noisy, started_at=now, outcome="upstream_error", http_status=429) for _ in range(2)]
        + [record(user="quiet", started_at=now, outcome="upstream_disconnect")]
        + [record(user="quiet", started_at=now, outcome="rejected")]
    )
    rows = ledger.report(IncidentQuery(since=NOON - timedelta(minutes=30), until=NOON)).dicts()
    assert [row["user"] for row in rows] == ["u", "quiet"]
    busy, quiet = rows
    assert (busy["requests"], busy["requests_before"]) == (5, 1)
    assert (busy["tokens"], busy["tokens_before"]) == (330, 5)
    assert (busy["throttled"], busy["throttled_before"], busy["errors"]) == (2, 0, 0)
    assert (quiet["requests"], quiet["errors"], quiet["rejected"], quiet["tokens"]) == (1, 1, 1, 0)
