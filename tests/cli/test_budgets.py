"""`byline budgets` as people and scripts see it."""

from __future__ import annotations

import csv
import io
import json
import time
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest
from typer.testing import CliRunner, Result

from byline.assembly.budgets import CounterFile
from byline.assembly.data_dir import open_data_dir
from byline.assembly.ledger import open_store
from byline.budgets.counters import CounterState
from byline.budgets.periods import window_at
from byline.cli.app import app
from byline.control.database import open_control
from byline.control.keys import create_key
from byline.settings import load
from byline.usage.journal import entries
from byline.usage.record import UsageRecord

run = CliRunner()


@pytest.fixture(autouse=True)
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("byline.cli.report_table.UNWRAPPED_WIDTH", 80)
    return tmp_path


def invoke(*arguments: str) -> Result:
    return run.invoke(app, ["budgets", *arguments])


def answer(*arguments: str) -> str:
    result = invoke(*arguments)
    assert result.exit_code == 0, result.output
    return result.stdout


def objects(*arguments: str) -> list[dict[str, Any]]:
    return json.loads(answer(*arguments, "--format", "json"))


def complaint(*arguments: str) -> str:
    result = invoke(*arguments)
    assert result.exit_code != 0
    assert result.stdout == ""
    return " ".join((result.stderr + str(result.exception)).replace("│", " ").split())


def workers_say(states: list[CounterState], *, over: dict[str, int], refused: dict[str, int]) -> None:
    """As two workers leave it each second."""
    status = open_data_dir(load(None, {})).status
    status.mkdir(exist_ok=True)
    for number, part in enumerate((states, [])):
        kept = CounterFile(time.time() + 60, part, over, refused)
        (status / f"budgets-worker{number}.json").write_bytes(msgspec.json.encode(kept))


def test_set_says_what_holds_now_and_list_shows_it() -> None:
    made = objects("set", "--user", "*", "--usd-per-day", "$20", "--concurrency", "8", "--contact", "desk")
    assert made == [
        {"scope": "user", "name": "*", "limit": "usd_per_day", "amount": "20", "models": None, "mode": "hard",
         "contact": "desk", "source": "database"},
        {"scope": "user", "name": "*", "limit": "concurrency", "amount": 8, "models": None, "mode": "hard",
         "contact": "desk", "source": "database"},
    ]  # fmt: skip
    assert sorted(objects("list"), key=str) == sorted(made, key=str)


@pytest.mark.parametrize(
    ("option", "scope"),
    [
        (("--user", "ada"), ("user", "ada")),
        (("--job", "nightly-*"), ("job", "nightly-*")),
        (("--team", "core"), ("team", "core")),
        (("--key", "*"), ("key", "*")),
        (("--model", "claude-*"), ("model", "claude-*")),
        (("--all",), ("all", None)),
    ],
)
def test_every_scope_is_set_and_removed_again(option: tuple[str, ...], scope: tuple[str, str | None]) -> None:
    (made,) = objects("set", *option, "--usd-per-week", "0.5", "--mode", "shadow")
    assert (made["scope"], made["name"], made["amount"], made["mode"]) == (*scope, "0.5", "shadow")
    assert objects("remove", *option) == [made]
    assert objects("list") == []


def test_a_key_is_one_that_there_is_however_it_is_written() -> None:
    with open_control(open_data_dir(load(None, {})).control) as control:
        key = create_key(control, "ada")
    for written in (key.info.key_id, f"byl_{key.info.key_id}", key.text):
        (made,) = objects("set", "--key", written, "--usd-per-day", "5")
        assert (made["scope"], made["name"]) == ("key", key.info.key_id)
        assert objects("remove", "--key", written) == [made]


def test_a_key_that_there_is_not_is_refused_with_the_remedy() -> None:
    said = complaint("set", "--key", "nope", "--usd-per-day", "5")
    assert "There is no key 'nope'. `byline keys list` shows the key ids." in said
    assert objects("list") == []


@pytest.mark.parametrize("scope", ["user", "team", "job", "model"])
def test_who_and_what_may_come_later_gets_a_limit_before(scope: str) -> None:
    (made,) = objects("set", f"--{scope}", "new", "--usd-per-day", "5")
    assert (made["scope"], made["name"]) == (scope, "new")


def test_setting_again_replaces_one_limit_and_leaves_the_others() -> None:
    answer("set", "--user", "ada", "--usd-per-day", "5", "--tokens-per-minute", "1000")
    answer("set", "--user", "ada", "--usd-per-day", "6", "--mode", "soft")
    found = {row["limit"]: (row["amount"], row["mode"]) for row in objects("list")}
    assert found == {"usd_per_day": ("6", "soft"), "tokens_per_minute": (1000, "hard")}
    (removed,) = objects("remove", "--user", "ada", "--limit", "usd-per-day")
    assert removed["amount"] == "6"
    assert [row["limit"] for row in objects("list")] == ["tokens_per_minute"]


def test_models_are_a_list_of_patterns() -> None:
    (made,) = objects("set", "--team", "interns", "--models", "claude-haiku-*, gpt-5-mini,")
    assert (made["amount"], made["models"]) == (None, "claude-haiku-*, gpt-5-mini")


def test_a_limit_of_the_settings_file_holds_until_one_is_set_and_again_after(directory: Path) -> None:
    (directory / "byline.toml").write_text('[budgets.each]\nuser = "*"\nusd_per_day = 3\n')
    assert [(row["amount"], row["source"]) for row in objects("list")] == [("3", "settings")]
    answer("set", "--user", "*", "--usd-per-day", "4")
    assert [(row["amount"], row["source"]) for row in objects("list")] == [("4", "database")]
    answer("remove", "--user", "*")
    assert [row["source"] for row in objects("list")] == ["settings"]


def test_a_section_of_the_settings_file_without_any_limit_is_an_error(directory: Path) -> None:
    (directory / "byline.toml").write_text('[budgets.each]\nuser = "*"\n')
    said = invoke("list")
    assert said.exit_code == 1
    assert "[budgets.each] limits nothing: write one or more of usd_per_hour, usd_per_day" in said.stderr


def test_a_limit_below_a_cent_is_shown_in_full_beside_a_large_one() -> None:
    answer("set", "--all", "--usd-per-month", "20000")
    answer("set", "--user", "ada", "--usd-per-day", "0.0001")
    shown = answer("list")
    assert "$20,000.00" in shown
    assert "$0.0001 " in shown


def test_csv_has_the_same_columns_and_exact_values() -> None:
    answer("set", "--user", "ada", "--usd-per-month", "1234.5")
    (row,) = csv.DictReader(io.StringIO(answer("list", "--format", "csv")))
    assert (row["limit"], row["amount"], row["models"]) == ("usd_per_month", "1234.5", "")


def test_without_budgets_the_way_to_one_is_said_on_stderr() -> None:
    for command in ("list", "status"):
        result = invoke(command, "--format", "json")
        assert (json.loads(result.stdout), result.exit_code) == ([], 0)
        assert "byline budgets set --user '*' --usd-per-day 20" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("set", "--usd-per-day", "5"), "exactly one of --user, --job, --team, --key, --model and --all"),
        (("set", "--user", "a", "--all", "--usd-per-day", "5"), "give exactly one of"),
        (("set", "--user", "ada"), "give at least one limit: --usd-per-hour, --usd-per-day"),
        (("set", "--user", "ada", "--usd-per-day", "lots"), "--usd-per-day: 'lots' is not an amount in dollars"),
        (("set", "--user", "ada", "--usd-per-day", "-1"), "'-1' is not an amount in dollars"),
        (("set", "--user", "ada", "--usd-per-day", "nan"), "'nan' is not an amount in dollars"),
        (("set", "--user", "ada", "--usd-per-day", "1e12"), "must be from 0 to"),
        (("set", "--user", "ada", "--concurrency", "2.5"), "as an integer"),
        (("set", "--user", "ada", "--concurrency", "1", "--mode", "firm"), "'firm' is no mode: choose among hard, soft, shadow"),
        (("set", "--team", "x", "--models", " , "), "no model is named"),
        (("remove", "--user", "ada"), "there is no such limit of user ada; see `byline budgets list`"),
        (("remove", "--user", "ada", "--limit", "euros"), "'euros' is no limit: choose among usd_per_hour"),
        (("remove",), "give exactly one of"),
        (("list", "--format", "xml"), "'xml' is not one of"),
    ],
)  # fmt: skip
def test_what_cannot_be_meant_is_refused_with_the_way_out(arguments: tuple[str, ...], says: str) -> None:
    assert says in complaint(*arguments)
    assert objects("list") == []


def test_a_hard_limit_for_several_workers_without_a_counter_store_is_refused(directory: Path) -> None:
    (directory / "byline.toml").write_text("gateway.workers = 4\n")
    assert "set counters.url to a Redis or" in complaint("set", "--user", "ada", "--usd-per-day", "5")
    assert objects("list") == []
    assert objects("set", "--user", "ada", "--usd-per-day", "5", "--mode", "soft")


def test_status_shows_use_reservations_and_what_each_limit_refused() -> None:
    answer("set", "--user", "*", "--usd-per-day", "20")
    answer("set", "--user", "bob", "--requests-per-minute", "60", "--mode", "shadow")
    answer("set", "--team", "interns", "--models", "claude-haiku-*")
    today = window_at("day", time.time())
    workers_say(
        [
            CounterState("usd_per_day:user:ada", today.name, 5_000_000, 1_000_000),
            CounterState("usd_per_day:user:eve", "2020-01-01", 9_000_000, 0),
            CounterState("requests_per_minute:user:bob", "", 30, 0),
        ],
        over={"requests_per_minute:user:bob": 7},
        refused={"usd_per_day:user:ada": 2, "models:team:interns": 3},
    )
    ada, bob, interns = sorted(objects("status"), key=lambda row: row["name"])
    assert ada == {
        "scope": "user", "name": "ada", "limit": "usd_per_day", "amount": "20", "mode": "hard", "used": "5",
        "reserved": "1", "utilization": 0.3, "refused": 4, "would_have_refused": 0,
        "resets_at": datetime.fromtimestamp(today.ends_at, UTC).isoformat().replace("+00:00", "Z"),
    }  # fmt: skip
    assert (bob["used"], bob["utilization"], bob["resets_at"]) == (30, 0.5, None)
    assert (bob["refused"], bob["would_have_refused"]) == (0, 14)
    assert (interns["limit"], interns["used"], interns["refused"]) == ("models", None, 6)


def test_status_fits_eighty_columns_and_says_the_zone() -> None:
    answer("set", "--user", "*", "--usd-per-month", "12000")
    answer("set", "--job", "nightly-reconciliation", "--requests-per-minute", "600", "--mode", "soft")
    month = window_at("month", time.time())
    workers_say(
        [CounterState("usd_per_month:user:ada.lovelace", month.name, 11_234_560_000, 90_000)],
        over={"requests_per_minute:job:nightly-reconciliation": 1234},
        refused={"usd_per_month:user:ada.lovelace": 5},
    )
    lines = answer("status").splitlines()
    assert max(map(len, lines)) <= 80
    shown = " ".join(" ".join(lines).split())
    for part in ("resets (UTC)", "ada.lovelace", "$11,234.56", "(94 %)", " 10 ", "would 2,468"):
        assert part in shown
    assert f"{datetime.fromtimestamp(month.ends_at, UTC):%b %d} 00:00" in shown


def test_status_without_a_worker_is_what_the_ledger_has_and_counts_no_refusals() -> None:
    answer("set", "--user", "ada", "--usd-per-month", "10")
    settings = load(None, {})
    store = open_store(settings, open_data_dir(settings))
    now = datetime.now(UTC)
    rows = [
        UsageRecord(
            request_id=f"r{number}", exchange_id=f"x{number}", started_at=at, provider="anthropic", api="messages",
            outcome="ok", user="ada", cost_usd=Decimal("2.5"),
        )
        for number, at in enumerate((now, now - timedelta(days=40)))
    ]  # fmt: skip
    store.insert_usage(rows)
    store.close()
    (ada,) = objects("status")
    assert (ada["used"], ada["reserved"], ada["utilization"]) == ("2.5", "0", 0.25)
    assert (ada["refused"], ada["would_have_refused"]) == (None, None)


def test_status_without_a_worker_prices_what_the_journal_holds_by_the_price_list() -> None:
    answer("set", "--user", "ada", "--usd-per-month", "10")
    data_dir = open_data_dir(load(None, {}))
    data_dir.journal.mkdir()
    record = UsageRecord(
        request_id="r1", exchange_id="x1", started_at=datetime.now(UTC), provider="anthropic", api="messages",
        outcome="ok", user="ada", model_requested="claude-sonnet-4-5", model_reported="claude-sonnet-4-5",
        usage_complete=True, input_tokens=1000, input_uncached_tokens=1000, output_tokens=100,
    )  # fmt: skip
    line = bytearray()
    entries.encode(line, entries.END, record)
    (data_dir.journal / "worker0-00000001.ndjson").write_bytes(line)
    (ada,) = objects("status")
    assert ada["used"] == "0.0045"  # $3 and $15 per million tokens


def test_status_says_when_the_counter_store_cannot_be_asked(directory: Path) -> None:
    (directory / "byline.toml").write_text('counters.url = "redis://:sesame@127.0.0.1:9/0"\n')
    answer("set", "--user", "ada", "--usd-per-day", "5")
    said = complaint("status")
    assert "the counter store can't be asked (ConnectionRefusedError); check counters.url" in said
    assert "sesame" not in said
