"""What every engine promises about rows going in."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from byline.apis.api import Iteration
from byline.usage.columns import USAGE_COLUMNS
from byline.usage.ledger import Ledger, RequestsQuery, SqlLimits, UsageQuery
from byline.usage.record import UsageRecord

Make = Callable[..., UsageRecord]
Rows = Callable[..., list[dict[str, Any]]]
NOON = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)
YESTERDAY = NOON - timedelta(days=1)


def test_a_full_row_comes_back_as_it_went_in(ledger: Ledger, rows: Rows) -> None:
    full = UsageRecord(
        request_id="0198", exchange_id="0199", attempt=2, upstream_request_id="req_1", response_id="msg_1",
        gateway_id="gw", source="client", started_at=NOON, ended_at=NOON + timedelta(microseconds=1_234_567),
        duration_ms=1234.567, ttft_ms=0.25, overhead_us=31, provider="anthropic", api="messages",
        server_address="api.anthropic.com", credential="default", provider_organization="org",
        model_requested="m", model_reported="m-1", streaming=True, http_status=200, outcome="ok",
        finish_reason="end_turn", usage_complete=True, error_type="e", actor_id="act_1", key_id="key_1",
        auth_source="key", user="zoë", email="z@example.com", team="t", job="nightly-1", identifier="act_1",
        identity_action="replaced", metadata_user_id="act_1", client_metadata_user_id='{"a":"b"}',
        claimed_user="x", claimed_job="y", device_id="d", account_id="a", claude_code_session_id="s",
        session_id="s", agent_id="ag", parent_agent_id="pa", prompt_id="p", request_class="main",
        client="claude-cli/2.1", retry_count=1, input_tokens=111, input_uncached_tokens=1,
        cache_read_tokens=10, cache_write_tokens=100, cache_write_5m_tokens=60, cache_write_1h_tokens=40,
        output_tokens=7, reasoning_tokens=3, web_search_requests=1,
        iterations=[Iteration(type="message", model="m", output_tokens=7)], service_tier="standard",
        speed="fast", inference_geo="us", cost_usd=Decimal("0.000000037512"), cost_status="priced",
        price_version="2026-03-01", quota=msgspec.Raw(b'{"windows":{"5h":{"utilization":0.5}}}'),
        trace_id="t" * 32, span_id="s" * 16, parent_span_id="p" * 16, trace_sampled=False,
        raw_usage=msgspec.Raw(b'{"input_tokens":1}'),
    )  # fmt: skip
    assert ledger.insert_usage([full]) == 1
    expected = {name: getattr(full, name) for name in USAGE_COLUMNS}
    expected |= {
        "iterations": [{"type": "message", "model": "m", "output_tokens": 7}],
        "quota": {"windows": {"5h": {"utilization": 0.5}}},
        "raw_usage": {"input_tokens": 1},
    }
    assert rows() == [expected]


def test_what_was_not_reported_is_null_and_not_zero(ledger: Ledger, rows: Rows, record: Make) -> None:
    ledger.insert_usage([record(output_tokens=0)])
    row = rows()[0]
    assert row["output_tokens"] == 0
    known = {
        "request_id", "exchange_id", "attempt", "source", "schema_version", "started_at", "provider", "api",
        "streaming", "outcome", "identity_action", "output_tokens",
    }  # fmt: skip
    assert {name for name, value in row.items() if value is not None} == known


def test_defaults_that_an_encoded_record_leaves_out_are_stored(
    ledger: Ledger, rows: Rows, record: Make
) -> None:
    ledger.insert_usage([record(outcome="interrupted")])
    row = rows()[0]
    assert (row["attempt"], row["source"], row["outcome"]) == (1, "gateway", "interrupted")
    assert (row["streaming"], row["identity_action"]) == (False, "none")


def test_the_same_id_counts_once_however_often_it_comes(ledger: Ledger, rows: Rows, record: Make) -> None:
    batch = [record(input_tokens=5), record(input_tokens=7)]
    assert ledger.insert_usage([*batch, batch[0]]) == 2
    assert ledger.insert_usage(batch) == 0
    assert ledger.insert_usage([*batch, record()]) == 1
    assert len(rows()) == 3


def test_a_second_row_of_an_id_changes_nothing(ledger: Ledger, rows: Rows, record: Make) -> None:
    first = record(input_tokens=5)
    ledger.insert_usage([first])
    assert ledger.insert_usage([msgspec.structs.replace(first, input_tokens=6)]) == 0
    assert rows()[0]["input_tokens"] == 5


@pytest.mark.parametrize("together", [True, False])
def test_an_end_beats_an_interrupted_row(ledger: Ledger, rows: Rows, record: Make, together: bool) -> None:
    start = record(outcome="interrupted")
    end = msgspec.structs.replace(start, outcome="ok", output_tokens=3)
    if together:
        assert ledger.insert_usage([start, end]) == 1
    else:
        assert (ledger.insert_usage([start]), ledger.insert_usage([end])) == (1, 1)
    assert [(row["outcome"], row["output_tokens"]) for row in rows()] == [("ok", 3)]


@pytest.mark.parametrize("together", [True, False])
def test_an_interrupted_row_never_beats_an_end(
    ledger: Ledger, rows: Rows, record: Make, together: bool
) -> None:
    end = record(output_tokens=3)
    start = msgspec.structs.replace(end, outcome="interrupted", output_tokens=None)
    if together:
        ledger.insert_usage([end, start])
    else:
        ledger.insert_usage([end])
        assert ledger.insert_usage([start]) == 0
    assert [(row["outcome"], row["output_tokens"]) for row in rows()] == [("ok", 3)]


def test_an_interrupted_row_of_long_ago_is_replaced_too(ledger: Ledger, rows: Rows, record: Make) -> None:
    start = record(outcome="interrupted", started_at=NOON - timedelta(hours=20))
    ledger.insert_usage([start, record(), record()])
    assert ledger.insert_usage([record(), msgspec.structs.replace(start, outcome="client_disconnect")]) == 2
    assert sorted(row["outcome"] for row in rows()) == ["client_disconnect", "ok", "ok", "ok"]


def test_rows_survive_closing(open_ledger: Callable[[], Ledger], record: Make) -> None:
    first = open_ledger()
    first.insert_usage([record()])
    first.close()
    assert len(open_ledger().requests(RequestsQuery(since=YESTERDAY)).rows) == 1


def test_nothing_in_is_nothing_done(ledger: Ledger) -> None:
    assert ledger.insert_usage([]) == 0
    assert ledger.insert_events([]) == 0


def test_a_batch_of_many_chunks_goes_in_whole(ledger: Ledger, record: Make) -> None:
    assert ledger.insert_usage([record(input_tokens=1) for _ in range(12_345)]) == 12_345
    assert ledger.usage(UsageQuery(by=(), since=YESTERDAY)).dicts()[0]["input_tokens"] == 12_345


def test_odd_text_is_kept(ledger: Ledger, rows: Rows, record: Make) -> None:
    odd = "a\u0000b\"\\\n\u2028😀'; DROP TABLE api_usage; --"
    ledger.insert_usage([record(user=odd)])
    assert rows(user=odd)[0]["user"] == odd


def test_reports_go_on_while_rows_go_in(ledger: Ledger, rows: Rows, record: Make) -> None:
    """Readers see whole batches: a count between two batches never occurs."""
    done = threading.Event()
    seen: set[int] = set()

    def read() -> None:
        while not done.is_set():
            seen.add(ledger.usage(UsageQuery(by=(), since=YESTERDAY)).dicts()[0]["requests"] or 0)

    reader = threading.Thread(target=read)
    reader.start()
    try:
        for _ in range(10):
            ledger.insert_usage([record() for _ in range(100)])
    finally:
        done.set()
        reader.join()
    assert all(count % 100 == 0 for count in seen)
    assert len(rows(limit=5000)) == 1000


def test_events_are_stored_once_and_keep_privileged_columns_apart(ledger: Ledger) -> None:
    event = {
        "event_id": "e1",
        "event_name": "job_started",
        "occurred_at": "2026-03-10T11:59:00Z",
        "user": "u1",
        "sample_rate": 0.5,
        "metadata": {"shards": 12},
        "pii_email": "u1@example.com",
        "pii_undeclared": "x",
    }
    assert ledger.insert_events([event, event]) == 1
    assert ledger.insert_events([event]) == 0
    (row,) = ledger.sql("SELECT * FROM api_events", SqlLimits()).dicts()
    assert (row["event_name"], row["user"], row["sample_rate"]) == ("job_started", "u1", 0.5)
    assert msgspec.json.decode(row["metadata"]) == {"shards": 12}
    assert not [name for name in row if name.startswith("pii_")]


def test_events_without_a_time_are_stored_once_too(ledger: Ledger) -> None:
    event = {"event_id": "e1", "event_name": "x"}
    assert (ledger.insert_events([event]), ledger.insert_events([event])) == (1, 0)
