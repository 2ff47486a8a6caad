"""The short form of `make outage`. What it costs in latency is judged by the long form only."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from benchmarks import native_tools, outage
from benchmarks.small_disk import may_mount

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.skipif(shutil.which("gcc") is None, reason="the provider is compiled with gcc"),
]


@pytest.fixture
def tools(tmp_path: Path) -> native_tools.NativeTools:
    return native_tools.build(tmp_path)


def test_nothing_is_lost_while_the_store_is_away(tools: native_tools.NativeTools, tmp_path: Path) -> None:
    result = outage.store_outage(tmp_path / "store", tools, seconds=60, rate=200, window_s=5)
    assert result.nothing_lost, result
    assert result.said_so, result
    assert result.seen > 0


@pytest.mark.skipif(not may_mount(), reason="mounting a small disk needs root")
@pytest.mark.parametrize("policy", ["fail_open", "fail_closed"])
def test_a_full_disk_is_met_as_configured(
    tools: native_tools.NativeTools, tmp_path: Path, policy: outage.Policy
) -> None:
    result = outage.disk_full(tmp_path / policy, tools, policy)
    assert result.holds, result
