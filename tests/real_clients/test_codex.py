"""Codex over HTTP, and its own line about the tokens it used."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

CODEX = os.environ.get("BYLINE_CODEX") or shutil.which("codex")

pytestmark = [
    pytest.mark.real_client,
    pytest.mark.skipif(CODEX is None, reason="Codex is missing: npm install --global @openai/codex"),
]

CONFIG = """\
model = "gpt-5.1"
model_provider = "byline"
approval_policy = "never"
sandbox_mode = "read-only"

[model_providers.byline]
name = "Byline"
base_url = "{base_url}"
wire_api = "responses"
env_key = "BYLINE_KEY"
http_headers = {{ "X-Byline-Job" = "codex-review" }}

[analytics]
enabled = false
"""


def run_codex(gateway, home: Path, key: str, prompt: str) -> subprocess.CompletedProcess[str]:
    (home / "config.toml").write_text(CONFIG.format(base_url=gateway.openai_base_url))
    environ = {"PATH": os.environ["PATH"], "HOME": str(home), "CODEX_HOME": str(home), "BYLINE_KEY": key}
    command = [str(CODEX), "exec", "--skip-git-repo-check", prompt]
    done = subprocess.run(
        command, env=environ, cwd=home, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done


def tokens_told(done: subprocess.CompletedProcess[str]) -> int:
    """Codex adds up uncached input and output."""
    told = re.search(r"tokens used\s+([\d,]+)", done.stderr + done.stdout)
    assert told, done.stderr
    return int(told[1].replace(",", ""))


def test_a_plain_turn(gateway, tmp_path) -> None:
    done = run_codex(gateway, tmp_path, gateway.key("codex-plain"), "hi")
    (row,) = gateway.settled_rows(1, user="codex-plain")
    assert tokens_told(done) == row["input_uncached_tokens"] + row["output_tokens"]
    assert (row["api"], row["streaming"], row["job"]) == ("responses", True, "codex-review")
    assert row["session_id"] == re.search(r"session id: (\S+)", done.stderr)[1]
    assert row["client"].startswith("codex_exec/")
    seen = gateway.seen(row)
    assert seen.json()["safety_identifier"] == row["actor_id"]
    assert seen.header("x-byline-job") is None


def test_a_tool_loop(gateway, tmp_path) -> None:
    prompt = 'call exec_command {"cmd": "echo from the desk"}'
    done = run_codex(gateway, tmp_path, gateway.key("codex-tools"), prompt)
    rows = gateway.settled_rows(2, user="codex-tools")
    assert tokens_told(done) == sum(row["input_uncached_tokens"] + row["output_tokens"] for row in rows)
    assert b"from the desk" in gateway.seen(rows[1]).body
    assert len({row["session_id"] for row in rows}) == 1
