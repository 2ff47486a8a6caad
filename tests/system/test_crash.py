"""The short form of `make crash`."""

from __future__ import annotations

import asyncio
import random
import shutil
from pathlib import Path

import pytest

from benchmarks import crash

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.skipif(shutil.which("gcc") is None, reason="the provider is compiled with gcc"),
]


def test_no_kill_loses_or_doubles_a_row(tmp_path: Path) -> None:
    seed = random.SystemRandom().randrange(10_000)
    report = asyncio.run(crash.run(rounds=20, seed=seed, directory=tmp_path))
    assert report.verdict.holds, report
    assert report.verdict.seen > 0
    assert report.verdict.interrupted_seen > 0, (
        "nothing was in flight when it was killed: the run shows nothing"
    )
