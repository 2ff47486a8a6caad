"""A program's events through a real gateway into the ledger."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

PROGRAM = """
import sys, byline
url, key, spool = sys.argv[1:]
byline.identify(user="mallory", job="nightly-7")
byline.log_event("job_started", {"shards": 12}, pii={"email": byline.i_verified_this_is_pii_tagged("ada@example.org")})
byline.attach_sink(byline.event_sink(program=byline.not_code_or_path("nightly"), url=url, key=key, spool_dir=spool))
byline.log_event("job_done", {"ok": True})
"""


def query(config: Path, *arguments: str) -> list[dict[str, Any]]:
    command = [
        sys.executable,
        "-m",
        "byline.cli",
        "events",
        "query",
        "--config",
        str(config),
        "--format",
        "json",
    ]
    return json.loads(subprocess.check_output([*command, *arguments], timeout=30))


def settled(config: Path, count: int, *arguments: str) -> list[dict[str, Any]]:
    deadline = time.monotonic() + 15
    while len(found := query(config, *arguments)) < count and time.monotonic() < deadline:
        pass
    return found


def test_events_of_a_program_end_in_the_ledger_under_the_keys_name(gateway, tmp_path):
    key = gateway.key("ada", job=None)
    subprocess.run(
        [sys.executable, "-c", PROGRAM, gateway.base_url, key, str(tmp_path / "spool")],
        check=True,
        timeout=60,
    )
    done, started = settled(gateway.config, 2, "--program", "nightly")
    assert (started["event_name"], started["metadata"]) == ("job_started", {"shards": 12})
    assert (done["event_name"], done["metadata"]) == ("job_done", {"ok": True})
    # The key says who it was, whatever the program claims; a job may be claimed.
    assert {(row["user"], row["job"], row["source"]) for row in (started, done)} == {
        ("ada", "nightly-7", "client")
    }
    assert list((tmp_path / "spool").rglob("*.ndjson")) == []


def test_a_program_with_a_wrong_key_keeps_its_events_and_the_gateway_tells_of_the_refusal(gateway, tmp_path):
    wrong = "byl_" + "k" * 12 + "_" + "s" * 43
    subprocess.run(
        [sys.executable, "-c", PROGRAM, gateway.base_url, wrong, str(tmp_path / "spool")],
        check=True,
        timeout=60,
    )
    kept = [line for path in (tmp_path / "spool").rglob("*.ndjson") for line in path.read_text().splitlines()]
    assert {json.loads(line)["event_name"] for line in kept} == {"job_started", "job_done"}
    told = settled(gateway.config, 1, "--name", "gateway_requests_unauthenticated")
    assert told
    assert told[0]["source"] == "gateway"
    assert "kkkk" not in json.dumps(told)
