"""Editions on disk and the fetching of new ones, from a real HTTP server and a real directory."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest

from byline.usage.prices import update as updating
from byline.usage.prices.catalogue import Catalogue
from byline.usage.prices.files import KEPT_EDITIONS, CurrentPrices, PriceFiles
from byline.usage.prices.update import UpdateError, update
from byline.usage.record import UsageRecord

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


def edition(models: int = 1500, **extra: str) -> bytes:
    """Price data as the mirror serves it, with one model beside those the checks count."""

    def provider(name: str, ids: list[str]) -> dict[str, Any]:
        listed = [
            {"id": model, "match": {"equals": model}, "prices": {"input_mtok": 4, "output_mtok": 8}}
            for model in ids
        ]
        return {"id": name, "name": name, "api_pattern": f"https://{name}", "models": listed}

    fresh = extra.get("fresh", "claude-fresh")
    return json.dumps(
        [
            provider("anthropic", [fresh]),
            provider("openai", ["gpt-fresh"]),
            provider("many", [f"m{number}" for number in range(models)]),
        ]
    ).encode()


@pytest.fixture
def files(tmp_path: Path) -> PriceFiles:
    return PriceFiles(directory=tmp_path / "prices")


def price_of(files: PriceFiles, model: str) -> str:
    return files.load().quote("anthropic", model, NOON).status


class Mirror(BaseHTTPRequestHandler):
    body: ClassVar[bytes] = b""
    status: ClassVar[int] = 200

    def do_GET(self) -> None:
        self.send_response(self.status)
        self.send_header("content-length", str(len(self.body)))
        self.end_headers()
        self.wfile.write(self.body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Says nothing."""


@pytest.fixture
def mirror() -> Iterator[str]:
    Mirror.body, Mirror.status = edition(), 200
    with ThreadingHTTPServer(("127.0.0.1", 0), Mirror) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/data.json"
        server.shutdown()
        thread.join()


def test_a_fetched_edition_is_used_from_then_on(files: PriceFiles, mirror: str) -> None:
    assert price_of(files, "claude-fresh") == "unknown_model"
    kept = update(files, mirror, NOON)
    assert price_of(files, "claude-fresh") == "priced"
    assert files.load().version.startswith("genai-prices-20261120-")
    assert [*files.directory.iterdir()] == [kept]


def test_a_mirror_may_be_a_file(files: PriceFiles, tmp_path: Path) -> None:
    source = tmp_path / "data.json"
    source.write_bytes(edition())
    update(files, source.as_uri(), NOON)
    assert price_of(files, "claude-fresh") == "priced"


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        (b"", "no price data"),
        (b"<html>captive portal</html>", "no price data"),
        (b'{"providers": []}', "no price data"),
        (b"[1, 2]", "no price data"),
        (edition()[:-2000], "no price data"),
        (b"[]", "no models of anthropic"),
        (edition(models=10), "models where"),
    ],
)
def test_what_is_not_whole_is_refused_and_the_last_good_edition_stays(
    files: PriceFiles, mirror: str, body: bytes, complaint: str
) -> None:
    kept = update(files, mirror, NOON)
    Mirror.body = body
    with pytest.raises(UpdateError, match=complaint):
        update(files, mirror, NOON + timedelta(days=1))
    assert files.editions() == [kept]
    assert price_of(files, "claude-fresh") == "priced"


def test_a_mirror_that_fails_is_named_without_its_secrets(files: PriceFiles, mirror: str) -> None:
    Mirror.status = 500
    secret = mirror.replace("http://", "http://me:hunter2@") + "?token=abc"
    with pytest.raises(UpdateError) as failed:
        update(files, secret, NOON)
    assert "127.0.0.1" in str(failed.value)
    assert "hunter2" not in str(failed.value)
    assert "abc" not in str(failed.value)


def test_an_endless_answer_is_cut(files: PriceFiles, mirror: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(updating, "MAX_BYTES", 1000)
    with pytest.raises(UpdateError, match="longer than"):
        update(files, mirror, NOON)


def test_other_kinds_of_address_are_refused(files: PriceFiles) -> None:
    with pytest.raises(UpdateError, match="https://"):
        update(files, "ftp://mirror/data.json", NOON)


def test_old_editions_are_dropped(files: PriceFiles) -> None:
    for day in range(KEPT_EDITIONS + 2):
        files.keep(edition(fresh=f"claude-{day}"), NOON + timedelta(days=day))
    assert len(files.editions()) == KEPT_EDITIONS
    assert price_of(files, f"claude-{KEPT_EDITIONS + 1}") == "priced"


def test_a_damaged_edition_gives_way_to_the_one_before(files: PriceFiles) -> None:
    files.keep(edition(), NOON)
    newer = files.keep(edition(fresh="claude-newer"), NOON + timedelta(days=1))
    newer.write_bytes(b"[{]")
    assert price_of(files, "claude-fresh") == "priced"


def test_an_edition_fetched_by_another_version_of_the_package_is_left_aside(files: PriceFiles) -> None:
    kept = files.keep(edition(), NOON)
    kept.rename(kept.with_name(kept.name.replace("prices-0.", "prices-9.", 1)))
    assert price_of(files, "claude-fresh") == "unknown_model"


class Clock:
    def __init__(self) -> None:
        self.time_s = 0.0

    def __call__(self) -> float:
        return self.time_s


def test_a_running_process_takes_up_new_prices_and_own_ones(files: PriceFiles, tmp_path: Path) -> None:
    own = tmp_path / "own.toml"
    own.write_text('[models."anthropic/claude-house"]\ninput_per_mtok = 1\noutput_per_mtok = 1\n')
    clock = Clock()
    current = CurrentPrices(PriceFiles(files.directory, own), clock, check_interval_s=30)

    def status(model: str) -> str | None:
        record = UsageRecord(
            request_id="r", exchange_id="e", started_at=NOON, provider="anthropic", api="messages",
            outcome="ok", model_reported=model, input_uncached_tokens=1, output_tokens=1,
        )  # fmt: skip
        current(record)
        return record.cost_status

    assert (status("claude-house"), status("claude-fresh")) == ("priced", "unknown_model")
    files.keep(edition(), NOON)
    clock.time_s = 29
    assert status("claude-fresh") == "unknown_model"
    clock.time_s = 30
    assert status("claude-fresh") == "priced"

    own.write_text("models = 3")
    clock.time_s = 60
    assert (status("claude-house"), status("claude-fresh")) == ("priced", "priced"), (
        "a faulty file changes nothing"
    )


def test_own_prices_that_can_not_be_read_are_an_error_at_the_start(files: PriceFiles, tmp_path: Path) -> None:
    for content, complaint in [
        (None, "can't be read"),
        ("[models", "not valid TOML"),
        ("[prices]\na = 1", "own prices stand in tables"),
        ('[models."anthropic/x"]\ninput = 1', "unknown field `input`"),
    ]:
        own = tmp_path / "own.toml"
        if content is not None:
            own.write_text(content)
        with pytest.raises(ValueError, match=complaint) as refused:
            PriceFiles(files.directory, own).load()
        assert str(own) in str(refused.value)


def test_the_packages_own_data_needs_no_directory(files: PriceFiles, catalogue: Catalogue) -> None:
    assert files.load().catalogue.edition == catalogue.edition
    assert not files.directory.exists()
