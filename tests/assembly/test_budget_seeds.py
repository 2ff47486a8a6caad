"""What was used before counters began: each row once, in the windows of now, for whom it counts."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from byline.assembly.budget_seeds import Seeds, needs_seeds, read_seeds, wait_for
from byline.assembly.data_dir import open_data_dir
from byline.assembly.ledger import open_store
from byline.budgets.book import BudgetBook
from byline.budgets.limits import Budget
from byline.settings import Settings, load
from byline.usage.journal import entries
from byline.usage.ledger import LedgerReader
from byline.usage.record import UsageRecord

NOW = datetime(2026, 11, 18, 12, 30, 20, tzinfo=UTC)  # a Wednesday
BUDGETS = (
    Budget(scope="user", name="*", kind="usd_per_hour", amount=1),
    Budget(scope="user", name="*", kind="usd_per_day", amount=1),
    Budget(scope="user", name="*", kind="usd_per_week", amount=1),
    Budget(scope="user", name="*", kind="usd_per_month", amount=1),
)


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.chdir(tmp_path)
    settings = load(None, {})
    open_data_dir(settings).journal.mkdir()
    return settings


def row(ago: timedelta = timedelta(0), **fields: Any) -> UsageRecord:
    values: dict[str, Any] = {
        "request_id": str(uuid.uuid4()), "exchange_id": "x", "started_at": NOW - ago, "provider": "anthropic",
        "api": "messages", "outcome": "ok", "user": "ada", "model_requested": "claude-x", "cost_usd": Decimal(1),
        "input_tokens": 600, "output_tokens": 400,
    }  # fmt: skip
    return UsageRecord(**{**values, **fields})


def seeds(
    settings: Settings,
    *budgets: Budget,
    ledger: list[UsageRecord] | None = None,
    journal: tuple[UsageRecord, ...] = (),
    price: Callable[[UsageRecord], int | None] = lambda _: None,
) -> Seeds:
    data_dir = open_data_dir(settings)
    line = bytearray()
    for record in journal:
        entries.encode(line, entries.START, record)
        entries.encode(line, entries.END, record)
    (data_dir.journal / "worker0-00000001.ndjson").write_bytes(line)
    store: LedgerReader | None = None
    if ledger is not None:
        writable = open_store(settings, data_dir)
        writable.insert_usage(ledger)
        store = writable
    try:
        return read_seeds(BudgetBook(budgets), store, data_dir.journal, NOW.timestamp(), price)
    finally:
        if store is not None:
            store.close()


def sums(found: Seeds) -> dict[str, int]:
    return {seed.counter: seed.used for seed in found.sums}


def test_each_calendar_window_holds_what_began_in_it(settings: Settings) -> None:
    earlier = [
        row(timedelta(minutes=10)),  # this hour
        row(timedelta(hours=3), cost_usd=Decimal(2)),  # today
        row(timedelta(days=2), cost_usd=Decimal(4)),  # Monday
        row(timedelta(days=3), cost_usd=Decimal(8)),  # Sunday: last week
        row(timedelta(days=20), cost_usd=Decimal(16)),  # last month
    ]
    found = seeds(settings, *BUDGETS, ledger=earlier)
    assert sums(found) == {
        "usd_per_hour:user:ada": 1_000_000,
        "usd_per_day:user:ada": 3_000_000,
        "usd_per_week:user:ada": 7_000_000,
        "usd_per_month:user:ada": 15_000_000,
    }
    assert {seed.counter.split(":")[0]: seed.window.name for seed in found.sums} == {
        "usd_per_hour": "2026-11-18T12",
        "usd_per_day": "2026-11-18",
        "usd_per_week": "2026-W47",
        "usd_per_month": "2026-11",
    }


def test_a_row_in_ledger_and_journal_counts_once(settings: Settings) -> None:
    both, waiting = row(timedelta(minutes=5)), row(timedelta(minutes=4))
    found = seeds(settings, BUDGETS[1], ledger=[both], journal=(both, waiting))
    assert sums(found) == {"usd_per_day:user:ada": 2_000_000}


def test_without_the_ledger_the_journal_still_counts(settings: Settings) -> None:
    found = seeds(settings, BUDGETS[1], journal=(row(), row(user="bob")))
    assert sums(found) == {"usd_per_day:user:ada": 1_000_000, "usd_per_day:user:bob": 1_000_000}


def test_a_journal_row_without_a_cost_is_priced(settings: Settings) -> None:
    unpriced = row(cost_usd=None, model_requested="claude-y")
    found = seeds(settings, BUDGETS[1], journal=(unpriced,), price=lambda record: len(record.user or ""))
    assert sums(found) == {"usd_per_day:user:ada": 3}


@pytest.mark.parametrize(
    ("where", "fields"),
    [
        (where, fields)
        for where in ("ledger", "journal")
        for fields in (
            {"outcome": "rejected"},
            {"api": "count_tokens"},
            {"credential": "client"},
            {"source": "client"},
            {"user": None},
        )
    ],
)
def test_what_no_budget_counts_is_left_out(settings: Settings, where: str, fields: dict[str, Any]) -> None:
    left_out, counted = row(**fields), row()
    if where == "ledger":
        found = seeds(settings, BUDGETS[1], ledger=[left_out, counted])
    else:
        found = seeds(settings, BUDGETS[1], journal=(left_out, counted))
    assert sums(found) == {"usd_per_day:user:ada": 1_000_000}


@pytest.mark.parametrize("where", ["ledger", "journal"])
def test_a_minute_is_seeded_second_by_second_with_requests_and_tokens(settings: Settings, where: str) -> None:
    recent = [
        row(timedelta(seconds=5)),
        row(timedelta(seconds=5), credential="client"),
        row(timedelta(seconds=30)),
        row(timedelta(seconds=61)),
    ]
    budgets = (
        Budget(scope="all", kind="requests_per_minute", amount=1),
        Budget(scope="all", kind="tokens_per_minute", amount=1),
    )
    if where == "ledger":
        found = seeds(settings, *budgets, ledger=recent)
    else:
        found = seeds(settings, *budgets, journal=tuple(recent))
    second = int(NOW.timestamp())
    assert found.seconds == {
        "requests_per_minute:all:": {second - 30: 1, second - 5: 2},
        "tokens_per_minute:all:": {second - 30: 1000, second - 5: 2000},
    }
    assert found.sums == []


UNSENT: list[dict[str, Any]] = [
    {"outcome": "rejected", "http_status": 503, "error_type": "no_credential"},
    {"outcome": "client_disconnect"},
    {"outcome": "client_disconnect", "overhead_us": 0},
    {"outcome": "interrupted", "error_type": "gateway_stopped", "overhead_us": 0},
    *(
        {"outcome": "upstream_error", "http_status": 502, "error_type": error_type, **more}
        for error_type in ("connect_error", "connect_timeout", "dns_error", "tls_error", "proxy_error")
        for more in ({}, {"overhead_us": 0})
    ),
    {"outcome": "upstream_error", "error_type": "stale_connection", "overhead_us": 90},
]
SENT: list[dict[str, Any]] = [
    {},
    {"overhead_us": 90},
    {"outcome": "client_disconnect", "overhead_us": 90},
    {"outcome": "interrupted"},
    {"outcome": "upstream_disconnect", "error_type": "upstream_closed", "overhead_us": 90},
    {"outcome": "upstream_error", "error_type": "http_500", "overhead_us": 90},
    {
        "outcome": "upstream_error",
        "error_type": "connect_error",
        "overhead_us": 90,
    },  # the provider's own word
    {"outcome": "upstream_error", "error_type": "stale_connection", "attempt": 2, "overhead_us": 90},
    {"outcome": "client_disconnect", "error_type": "stale_connection", "overhead_us": 90},
]


@pytest.mark.parametrize("where", ["ledger", "journal"])
@pytest.mark.parametrize(
    ("fields", "counted"), [*((each, 0) for each in UNSENT), *((each, 1) for each in SENT)]
)
def test_only_what_was_sent_counts_as_a_request(
    settings: Settings, where: str, fields: dict[str, Any], counted: int
) -> None:
    of_the_same_second = [row(), row(**fields)]
    rate = Budget(scope="all", kind="requests_per_minute", amount=1)
    if where == "ledger":
        found = seeds(settings, rate, ledger=of_the_same_second)
    else:
        found = seeds(settings, rate, journal=tuple(of_the_same_second))
    assert found.seconds == {"requests_per_minute:all:": {int(NOW.timestamp()): 1 + counted}}


def test_what_was_not_sent_begins_no_counter(settings: Settings) -> None:
    rate = Budget(scope="all", kind="requests_per_minute", amount=1)
    assert seeds(settings, rate, ledger=[row(**UNSENT[4])]).seconds == {}


def test_every_scope_finds_its_own(settings: Settings) -> None:
    fields: dict[str, Any] = {
        "job": "nightly-1",
        "team": "core",
        "key_id": "k1",
        "model_requested": "claude-haiku-4-5",
    }
    budgets = (
        Budget(scope="job", name="nightly-*", kind="usd_per_day", amount=1),
        Budget(scope="team", name="core", kind="usd_per_day", amount=1),
        Budget(scope="key", name="*", kind="usd_per_day", amount=1),
        Budget(scope="model", name="claude-haiku-*", kind="usd_per_day", amount=1),
        Budget(scope="all", kind="usd_per_day", amount=1),
    )
    found = seeds(settings, *budgets, ledger=[row(**fields)], journal=(row(**fields), row()))
    assert sums(found) == {
        "usd_per_day:job:nightly-1": 2_000_000,
        "usd_per_day:team:core": 2_000_000,
        "usd_per_day:key:k1": 2_000_000,
        "usd_per_day:model:claude-haiku-*": 2_000_000,
        "usd_per_day:all:": 3_000_000,
    }


def test_a_segment_that_is_drained_and_deleted_meanwhile_is_no_error(settings: Settings) -> None:
    data_dir = open_data_dir(settings)
    (data_dir.journal / "worker1-00000001.ndjson").symlink_to(data_dir.journal / "gone")
    assert sums(seeds(settings, BUDGETS[1], journal=(row(),))) == {"usd_per_day:user:ada": 1_000_000}


def test_only_limits_over_time_need_seeds() -> None:
    assert needs_seeds([Budget(scope="all", kind="requests_per_minute", amount=1)])
    assert not needs_seeds(
        [
            Budget(scope="all", kind="concurrency", amount=1),
            Budget(scope="team", name="x", kind="models", models=("m",)),
        ]
    )


def test_waiting_ends_with_what_was_waited_for_or_with_the_time() -> None:
    answers = iter([False, False, True])
    assert wait_for(lambda: next(answers), 30.0, pause_s=0.0)
    assert not wait_for(lambda: False, 0.0)
