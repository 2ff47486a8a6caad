"""How the budgets of a worker end with it."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import pytest

from byline.assembly.budget_seeds import Seeds
from byline.assembly.budgets import WorkerBudgets
from byline.assembly.data_dir import open_data_dir
from byline.control.budgets import StoredBudget, put_budget
from byline.control.database import open_control
from byline.control.directory import KeyDirectory
from byline.settings import load


def test_a_budget_that_is_being_taken_up_does_not_outlive_its_worker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = load(None, {"BYLINE_DATA_DIR": str(tmp_path / "data")})
    data_dir = open_data_dir(settings)
    reading, may_end = threading.Event(), threading.Event()

    def read_slowly(*_: object) -> Seeds:
        reading.set()
        assert may_end.wait(10)
        return Seeds([], {})

    monkeypatch.setattr(WorkerBudgets, "_read_seeds", read_slowly)

    async def close_meanwhile() -> None:
        directory = KeyDirectory(data_dir.control, max_stale_s=300)
        budgets = WorkerBudgets(settings, data_dir, directory, 0)
        await budgets.start()
        with open_control(data_dir.control) as control:
            put_budget(control, StoredBudget(scope="user", name="ada", kind="requests_per_minute", amount=5))
        budgets.look()
        while not reading.is_set():
            await asyncio.sleep(0)
        await budgets.close()
        assert asyncio.all_tasks() == {asyncio.current_task()}
        may_end.set()
        directory.close()

    asyncio.run(close_meanwhile())
