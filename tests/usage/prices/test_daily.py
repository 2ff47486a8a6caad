from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from byline.usage.prices.daily import AFTER_FAILURE, DAY, DailyUpdate
from byline.usage.prices.files import PriceFiles

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


@pytest.fixture
def files(tmp_path: Path) -> PriceFiles:
    return PriceFiles(directory=tmp_path / "prices")


@pytest.fixture
def mirror(tmp_path: Path) -> str:
    models = [f'{{"id":"m{n}","match":{{"equals":"m{n}"}},"prices":{{"input_mtok":1}}}}' for n in range(1500)]
    providers = [
        f'{{"id":"{name}","name":"{name}","api_pattern":"x","models":[{",".join(models)}]}}'
        for name in ("anthropic", "openai")
    ]
    source = tmp_path / "data.json"
    source.write_text(f"[{','.join(providers)}]")
    return source.as_uri()


def test_prices_are_fetched_once_a_day(files: PriceFiles, mirror: str) -> None:
    now = [NOON]
    daily = DailyUpdate(files, mirror, lambda: now[0])
    assert daily.step() == DAY
    now[0] += timedelta(hours=5)
    assert daily.step() == timedelta(hours=19)
    assert len(files.editions()) == 1
    now[0] += timedelta(hours=19)
    assert daily.step() == DAY
    assert len(files.editions()) == 2


def test_a_failure_is_tried_again_within_the_hour_and_changes_nothing(
    files: PriceFiles, caplog: pytest.LogCaptureFixture
) -> None:
    assert DailyUpdate(files, "http://127.0.0.1:9/data.json", lambda: NOON).step() == AFTER_FAILURE
    assert "those in use stay" in caplog.text
    assert files.editions() == []


def test_it_fetches_when_started_and_ends_when_stopped(files: PriceFiles, mirror: str) -> None:
    fetched = threading.Event()

    class Told(DailyUpdate):
        def step(self) -> timedelta:
            wait = super().step()
            fetched.set()
            return wait

    daily = Told(files, mirror, lambda: NOON)
    daily.start()
    assert fetched.wait(30)
    daily.stop()
    assert len(files.editions()) == 1
    assert not any(thread.name == "prices-update" for thread in threading.enumerate())
