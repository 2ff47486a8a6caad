from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from byline.cli.app import app

run = CliRunner()


@pytest.fixture(autouse=True)
def empty_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def shown(*arguments: str) -> list[dict[str, str | int | None]]:
    answer = run.invoke(app, ["prices", "show", *arguments, "--format", "json"])
    assert answer.exit_code == 0, answer.stderr
    return json.loads(answer.stdout)


def test_a_model_is_shown_with_every_kind_of_service_and_each_tier() -> None:
    lines = shown("claude-sonnet-4-5-20250929", "--at", "2026-11-01")
    assert [(line["service"], line["above_tokens"], line["input_per_mtok"]) for line in lines] == [
        ("standard", None, "3"),
        ("standard", 200_000, "6"),
        ("batch", None, "1.5"),
        ("batch", 200_000, "3"),
    ]
    assert lines[0]["cache_write_5m_per_mtok"] == "3.75"
    assert {line["model"] for line in lines} == {"claude-sonnet-4-5"}


def test_the_table_shows_whole_prices_and_their_version() -> None:
    answer = run.invoke(app, ["prices", "show", "claude-sonnet-4-5", "--at", "2026-11-01"])
    assert "1.875" in answer.stdout
    assert "genai-prices-" in answer.stdout


def test_the_day_decides() -> None:
    assert len(shown("claude-opus-4-6", "--at", "2026-03-12")) > len(
        shown("claude-opus-4-6", "--at", "2026-03-13")
    )


def test_any_list_may_be_asked() -> None:
    (line, *_) = shown("claude-haiku-4-5@20251001", "--provider", "vertex")
    assert line["provider"] == "google"


def test_an_unknown_model_names_its_neighbours() -> None:
    answer = run.invoke(app, ["prices", "show", "claude-sonet-4-5"])
    assert answer.exit_code == 1
    assert "claude-sonnet-4-5" in answer.stderr
    assert "overrides_file" in answer.stderr


def test_an_unknown_price_list_names_those_there_are() -> None:
    answer = run.invoke(app, ["prices", "show", "gpt-4o", "--provider", "antropic"])
    assert answer.exit_code == 1
    assert "no price list is called 'antropic'; the nearest is anthropic" in answer.stderr
    assert len(answer.stderr) < 200


def test_a_price_list_like_no_other_gets_a_few_examples() -> None:
    answer = run.invoke(app, ["prices", "show", "gpt-4o", "--provider", "xyzzy"])
    assert answer.exit_code == 1
    assert "such as anthropic, openai" in answer.stderr
    assert len(answer.stderr) < 200


def test_a_model_that_another_has_is_found_there() -> None:
    answer = run.invoke(app, ["prices", "show", "gpt-4o", "--provider", "anthropic"])
    assert answer.exit_code == 1
    assert "anthropic has no price of 'gpt-4o', but openai has: --provider openai" in answer.stderr


def test_a_name_in_two_spellings_is_one_neighbour() -> None:
    answer = run.invoke(app, ["prices", "show", "claude-opus-9"])
    (near,) = re.findall("the nearest are (.*?)\\. An own", answer.stderr)
    names = [name.replace(".", "-") for name in near.split(", ")]
    assert len(set(names)) == len(names) > 1


def test_own_prices_are_shown_as_such(empty_directory: Path) -> None:
    (empty_directory / "own.toml").write_text(
        '[models."corp/house"]\ninput_per_mtok = "0.5"\noutput_per_mtok = 1\n'
    )
    (empty_directory / "byline.toml").write_text('[prices]\noverrides_file = "own.toml"\n')
    (line,) = shown("house", "--provider", "corp")
    assert (line["input_per_mtok"], line["source"]) == ("0.5", "own prices")


def test_a_faulty_file_of_own_prices_ends_the_command_with_its_name(empty_directory: Path) -> None:
    (empty_directory / "own.toml").write_text("[models.x]\n")
    (empty_directory / "byline.toml").write_text('[prices]\noverrides_file = "own.toml"\n')
    answer = run.invoke(app, ["prices", "show", "gpt-4o"])
    assert answer.exit_code == 1
    assert "own.toml" in answer.stderr


def test_an_update_that_fails_says_that_the_prices_in_use_stay(empty_directory: Path) -> None:
    (empty_directory / "byline.toml").write_text('[prices]\nupdate_url = "http://127.0.0.1:9/data.json"\n')
    answer = run.invoke(app, ["prices", "update"])
    assert answer.exit_code == 1
    assert "stay" in answer.stderr
    assert not (empty_directory / "byline-data" / "prices").exists()
