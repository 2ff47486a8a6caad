"""`byline ingest`: what clients wrote into journals ends in the ledger, once."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import anthropic
import pytest

import byline
from byline.runtime import answers, recording
from byline.testing import SimulatedProvider
from byline.usage.data_lock import DataLock


@pytest.fixture
def recorded(tmp_path: Path):
    """A data directory in which a client has left two rows."""
    with SimulatedProvider() as provider:
        byline.record_usage(data_dir=tmp_path / "laptop")
        client = byline.instrument(anthropic.Anthropic(base_url=provider.base_url, api_key="k"))
        with client, byline.identify(user="ana", job="nightly"):
            for _ in range(2):
                client.messages.create(
                    model="claude-sonnet-4-6", max_tokens=9, messages=[{"role": "user", "content": "hi"}]
                )
    assert recording._outbox is not None
    recording._outbox.close(10)
    recording._outbox._deliver._writer.close()  # as the end of its process would
    recording._outbox = None
    answers.tap_answers(None)
    return tmp_path / "laptop"


def command(data_dir: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "byline.cli", *arguments, "--format", "json"],
        env={"BYLINE_DATA_DIR": str(data_dir), "PATH": "/bin"},
        cwd=data_dir.parent,
        capture_output=True,
        text=True,
        timeout=60,
    )


def printed(done: subprocess.CompletedProcess[str]) -> list[dict[str, Any]]:
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_the_own_journal_is_brought_in(recorded):
    assert [row["rows"] for row in printed(command(recorded, "ingest"))] == [2]
    assert [row["rows"] for row in printed(command(recorded, "ingest"))] == [0]
    (usage,) = printed(command(recorded, "usage", "--by", "user,job", "--since", "1h"))
    assert (usage["user"], usage["job"], usage["requests"]) == ("ana", "nightly", 2)
    assert float(usage["cost_usd"]) > 0
    (row,) = printed(command(recorded, "sql", "select distinct metadata_user_id, source from api_usage"))
    assert row == {"metadata_user_id": '{"user":"ana","job":"nightly"}', "source": "client"}


def test_another_directorys_journal_is_taken_over_once(recorded, tmp_path):
    central = tmp_path / "central"
    first = printed(command(central, "ingest", str(recorded)))
    assert [(Path(row["journal"]).name, row["rows"]) for row in first] == [("laptop", 2), ("central", 2)]
    again = printed(command(central, "ingest", str(recorded)))
    assert [row["rows"] for row in again] == [0, 0]
    (usage,) = printed(command(central, "usage", "--by", "user", "--since", "1h"))
    assert usage["requests"] == 2


def test_a_server_that_runs_is_left_to_it(recorded):
    lock = DataLock(recorded / "lock", "byline serve")
    try:
        done = command(recorded, "ingest")
    finally:
        lock.close()
    assert printed(done) == []
    assert "A server runs" in done.stderr


def test_what_is_no_data_directory_is_named(recorded, tmp_path):
    (tmp_path / "empty").mkdir()
    done = command(recorded, "ingest", str(tmp_path / "empty"))
    assert (done.returncode, "has no journal" in done.stderr) == (1, True)
