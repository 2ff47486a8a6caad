"""The demo as a command: what it says, how it exits, and that nothing stays behind."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from byline.cli.demo.newsroom import Newsroom
from byline.cli.demo.run import run
from byline.testing import Counted, SimulatedProvider

COMMAND = [sys.executable, "-m", "byline.cli", "demo"]


@contextmanager
def demo(temporary: Path) -> Iterator[subprocess.Popen[str]]:
    environ = os.environ | {"TMPDIR": str(temporary)}
    with subprocess.Popen(COMMAND, env=environ, stdout=subprocess.PIPE, text=True) as process:
        yield process


def left_running(temporary: Path) -> list[str]:
    """The demo's processes, which all have its TMPDIR. A port proves nothing: it may be another's by now."""
    mark = f"TMPDIR={temporary}\0".encode()
    return [process.name for process in Path("/proc").glob("[0-9]*") if mark in _environment(process)]


def _environment(process: Path) -> bytes:
    """Empty for those that are gone, or somebody else's."""
    try:
        return (process / "environ").read_bytes()
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return b""


def test_it_says_who_used_what_and_leaves_nothing_running(tmp_path) -> None:
    with demo(tmp_path) as process:
        text, _ = process.communicate(timeout=100)
    assert process.returncode == 0, text
    for name in ("nadia", "omar", "fact-checker", "archive-indexer"):
        assert re.search(rf"^{name} +\w+ +\d", text, re.MULTILINE), name
    for job in ("fact-check-nightly", "archive-backfill", "election-liveblog"):
        assert re.search(rf"^{job} +\d", text, re.MULTILINE), job
    assert re.search(r"requests +100% with a user +\d+% with a job", text)
    assert 'the client sent   metadata.user_id = "nadia"' in text
    assert "agrees with the provider" in text
    assert max(len(line) for line in text.splitlines()) <= 100
    assert left_running(tmp_path) == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_it_takes_everything_down(tmp_path, ending) -> None:
    with demo(tmp_path) as process:
        assert process.stdout is not None
        opening = process.stdout.readline() + process.stdout.readline()
        assert len(left_running(tmp_path)) > 1, "the demo and its gateway"
        process.send_signal(ending)
        assert process.wait(60) != 0
    urls = re.findall(r"http://[\d.]+:\d+", opening)
    assert len(urls) == 2
    assert left_running(tmp_path) == []
    assert list(tmp_path.iterdir()) == []


def test_a_difference_is_shown_and_fails_it(tmp_path, monkeypatch, capsys) -> None:
    counted = SimulatedProvider.counted

    def one_more(provider: SimulatedProvider) -> dict[str | None, Counted]:
        return {name: Counted(count.requests + 1, count.usage) for name, count in counted(provider).items()}

    monkeypatch.setattr(SimulatedProvider, "counted", one_more)
    monkeypatch.setattr("byline.cli.demo.run._SETTLED_S", 1.0)
    monkeypatch.setattr(Newsroom, "work", Newsroom.claim_to_be_nadia)
    assert run(tmp_path) is False
    shown = capsys.readouterr().out
    assert "disagree" in shown
    assert re.search(r"omar: requests are \d at the provider, \d in the ledger", shown)
