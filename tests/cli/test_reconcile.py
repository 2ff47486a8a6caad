from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from byline.assembly.data_dir import open_data_dir
from byline.assembly.ledger import open_store
from byline.cli.app import app
from byline.settings import load
from byline.usage.record import UsageRecord

run = CliRunner()
WINDOW = ("--provider", "anthropic", "--since", "2026-11-10", "--until", "2026-11-11")


@pytest.fixture(autouse=True)
def ledger_with_a_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    settings = load(None, {})
    store = open_store(settings, open_data_dir(settings))
    store.insert_usage(
        [
            UsageRecord(
                request_id="r", exchange_id="e", started_at=datetime(2026, 11, 10, 8, tzinfo=UTC), provider="anthropic",
                api="messages", outcome="ok", model_reported="claude-sonnet-4-5-20250929", input_tokens=900,
                output_tokens=100, cost_usd=Decimal("0.0042"), cost_status="priced",
            )
        ]
    )  # fmt: skip
    store.close()


def save(name: str, *results: dict[str, Any], day: str = "2026-11-10") -> str:
    page = {
        "data": [{"starting_at": f"{day}T00:00:00Z", "results": list(results)}],
        "has_more": False,
        "next_page": None,
    }
    Path(name).write_text(json.dumps(page))
    return name


USAGE = {"model": "claude-sonnet-4-5-20250929", "uncached_input_tokens": 1800, "output_tokens": 200}
COST = {"model": "claude-sonnet-4-5-20250929", "amount": "0.84", "currency": "USD"}


def test_files_of_usage_and_costs_are_held_against_the_ledger() -> None:
    files = ("--file", save("usage.json", USAGE), "--file", save("costs.json", COST))
    answer = run.invoke(app, ["reconcile", *WINDOW, *files, "--format", "json"])
    assert answer.exit_code == 0, answer.stderr
    (line,) = json.loads(answer.stdout)
    assert (line["day"], line["model"]) == ("2026-11-10", "claude-sonnet-4-5")
    assert (line["tokens_captured"], line["cost_captured"]) == (0.5, 0.5)
    assert (line["ledger_cost_usd"], line["provider_cost_usd"], line["difference_usd"]) == (
        "0.0042",
        "0.0084",
        "-0.0042",
    )
    assert "Captured 50.00% of the tokens and 50.00% of the cost." in answer.stderr


def test_days_outside_the_window_do_not_count() -> None:
    files = ("--file", save("a.json", USAGE), "--file", save("b.json", USAGE, day="2026-11-11"))
    answer = run.invoke(app, ["reconcile", *WINDOW, *files, "--by", "total", "--format", "json"])
    (line,) = json.loads(answer.stdout)
    assert line["provider_input_tokens"] == 1800


def test_what_is_missing_from_the_files_is_said() -> None:
    answer = run.invoke(app, ["reconcile", *WINDOW, "--file", save("costs.json", COST)])
    assert answer.exit_code == 0
    assert "tokens can't be compared" in answer.stderr


def test_without_a_key_or_a_file_the_command_says_what_to_bring(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ANTHROPIC_ADMIN_API_KEY", raising=False)
    answer = run.invoke(app, ["reconcile", *WINDOW])
    assert answer.exit_code == 1
    assert "ANTHROPIC_ADMIN_API_KEY" in answer.stderr
    assert "--file" in answer.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("--provider", "acme", "--file", "x.json"), 1, "anthropic, openai"),
        (("--provider", "anthropic", "--file", "x.json"), 1, "x.json: can't be read"),
        (("--provider", "anthropic", "--by", "user", "--file", "x.json"), 2, "day,model"),
    ],
)
def test_mistakes_are_named(arguments: tuple[str, ...], code: int, words: str) -> None:
    answer = run.invoke(app, ["reconcile", *arguments])
    assert answer.exit_code == code
    assert words in answer.stderr
