"""With the store opened by the command, and through a running ledger process."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner

from byline.assembly.data_dir import open_data_dir
from byline.assembly.ledger import current_prices, open_store
from byline.cli.app import app
from byline.settings import Settings, load
from byline.usage.record import UsageRecord

run = CliRunner()
HOUR_AGO = datetime.now(UTC) - timedelta(hours=1)


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """A ledger with a row of a model that has no price yet."""
    monkeypatch.chdir(tmp_path)
    settings = load(None, {})
    unknown = UsageRecord(
        request_id="r1", exchange_id="e1", started_at=HOUR_AGO, provider="anthropic", api="messages",
        outcome="ok", model_reported="claude-new", input_uncached_tokens=1000, output_tokens=100,
    )  # fmt: skip
    current_prices(settings)(unknown)
    store = open_store(settings, open_data_dir(settings))
    store.insert_usage([unknown])
    store.close()
    return settings


def give_it_a_price() -> None:
    Path("own.toml").write_text('[models."anthropic/claude-new"]\ninput_per_mtok = 3\noutput_per_mtok = 15\n')
    Path("byline.toml").write_text('[prices]\noverrides_file = "own.toml"\n')


def repriced(*arguments: str) -> list[dict[str, object]]:
    answer = run.invoke(app, ["reprice", "--since", "2h", "--format", "json", *arguments])
    assert answer.exit_code == 0, answer.stderr
    return json.loads(answer.stdout)


@pytest.mark.usefixtures("settings")
def test_a_row_gets_the_price_that_was_added_since() -> None:
    assert repriced()[0]["changed"] == 0
    give_it_a_price()
    rehearsal = run.invoke(app, ["reprice", "--since", "2h", "--dry-run"])
    assert "1 of 1 rows would change; together no known cost before, $0.004500 after" in rehearsal.stderr
    (line,) = repriced("--only", "unknown_model,partial")
    assert (line["model"], line["changed"], line["priced"], line["cost_after_usd"]) == (
        "claude-new",
        1,
        1,
        "0.0045",
    )
    assert repriced("--only", "unknown_model") == []


@pytest.mark.usefixtures("settings")
def test_what_nobody_knows_costs_nothing_known_rather_than_zero() -> None:
    assert (repriced()[0]["cost_before_usd"], repriced()[0]["cost_after_usd"]) == (None, None)
    shown = run.invoke(app, ["reprice", "--since", "2h"])
    assert "$" not in shown.stdout
    assert "together no known cost before, no known cost after" in shown.stderr


@pytest.mark.usefixtures("settings")
def test_a_status_there_is_not_is_a_usage_error_that_lists_them() -> None:
    answer = run.invoke(app, ["reprice", "--since", "2h", "--only", "unkown"])
    assert answer.exit_code == 2
    assert "unknown_model" in answer.stderr


@contextmanager
def running_ledger(settings: Settings) -> Generator[None]:
    program = "from byline.assembly.ledger import run_ledger; from byline.settings import load; run_ledger(load(None, {}), ready=lambda: print('ready', flush=True))"
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        try:
            assert open_data_dir(settings).socket.exists()
            yield
        finally:
            process.terminate()


def complaint() -> str:
    answer = run.invoke(app, ["reprice", "--since", "2h"])
    assert (answer.exit_code, answer.stdout) == (1, "")
    return answer.stderr


def test_a_running_ledger_process_does_the_work(settings: Settings) -> None:
    give_it_a_price()
    with running_ledger(settings):
        (line,) = repriced()
    assert (line["changed"], line["cost_after_usd"]) == (1, "0.0045")


def test_a_running_server_prices_by_what_the_file_says_this_moment(settings: Settings) -> None:
    give_it_a_price()
    with running_ledger(settings):
        assert repriced()[0]["cost_after_usd"] == "0.0045"
        own = Path("own.toml")
        own.write_text(own.read_text().replace("= 15", "= 25"))
        assert repriced()[0]["cost_after_usd"] == "0.0055"
        own.write_text("[models\n")
        assert "nothing was changed: " in complaint()
        own.unlink()
        assert "own.toml" in complaint()


def test_a_running_server_that_holds_other_prices_is_named_with_the_remedy(settings: Settings) -> None:
    with running_ledger(settings):
        give_it_a_price()
        said = complaint()
        assert "the running server holds other prices than these settings" in said
        assert f"prices.overrides_file is not set there, {Path('own.toml').absolute()} here" in said
        assert "Restart byline serve" in said
    assert repriced()[0]["changed"] == 1, "the refused question changed nothing"


def test_another_price_list_of_a_provider_is_told_apart_as_well(settings: Settings) -> None:
    with running_ledger(settings):
        Path("byline.toml").write_text('[providers.openai]\nprice_list = "azure"\n')
        assert "price_list of providers is not set there, {'openai': 'azure'} here" in complaint()


def test_commands_that_read_only_do_not_load_the_price_data() -> None:
    program = "import sys, byline.assembly.ledger, byline.usage.ledger_process; sys.exit('genai_prices' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
