"""Claude Code itself, and its own account of what it used."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

SPEC = find_spec("claude_agent_sdk")
CLAUDE = Path(SPEC.origin).parent / "_bundled" / "claude" if SPEC and SPEC.origin else None

pytestmark = [
    pytest.mark.real_client,
    pytest.mark.skipif(
        CLAUDE is None or not CLAUDE.exists(),
        reason="Claude Code is missing: pip install -r requirements/real-clients.txt",
    ),
]

BASH_ALLOWED = ("--allowedTools", "Bash(echo:*)")
BASH = 'call Bash {"command": "echo from the desk", "description": "say hello"}'
AGENT = "call Agent " + json.dumps(
    {"description": "look it up", "prompt": BASH, "subagent_type": "general-purpose"}
)


def run_claude(gateway, home: Path, key: str, prompt: str, *options: str, **environ: str) -> dict[str, Any]:
    """One `claude -p` in a home of its own; its result as JSON."""
    settings = {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "TERM": "xterm",
        "ANTHROPIC_BASE_URL": gateway.base_url,
        "ANTHROPIC_AUTH_TOKEN": key,
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
        "DISABLE_TELEMETRY": "1",
        "DISABLE_ERROR_REPORTING": "1",
        "DISABLE_AUTOUPDATER": "1",
        **environ,
    }
    command = [str(CLAUDE), "-p", prompt, "--output-format", "json", *options]
    done = subprocess.run(
        command, env=settings, cwd=home, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=90
    )
    assert done.returncode == 0, done.stderr[-2000:] + done.stdout[-2000:]
    return json.loads(done.stdout)


def used(result: dict[str, Any]) -> dict[str, tuple[int, int, int, int]]:
    """By model: uncached input, cache read, cache write, output, as Claude Code adds them up."""
    names = ("inputTokens", "cacheReadInputTokens", "cacheCreationInputTokens", "outputTokens")
    return {model: tuple(usage[name] for name in names) for model, usage in result["modelUsage"].items()}


def kept(rows: Iterable[dict[str, Any]]) -> dict[str, tuple[int, ...]]:
    names = ("input_uncached_tokens", "cache_read_tokens", "cache_write_tokens", "output_tokens")
    totals: dict[str, tuple[int, ...]] = {}
    for row in rows:
        before = totals.get(row["model_reported"], (0, 0, 0, 0))
        counts = (row[name] or 0 for name in names)
        totals[row["model_reported"]] = tuple(a + b for a, b in zip(before, counts, strict=True))
    return totals


def test_a_plain_turn(gateway, tmp_path) -> None:
    result = run_claude(gateway, tmp_path, gateway.key("plain-turn", job="smoke"), "hi")
    (row,) = gateway.settled_rows(1, session=result["session_id"])
    assert kept([row]) == used(result)
    device = json.loads((tmp_path / ".claude.json").read_text())["userID"]
    assert (row["user"], row["job"], row["device_id"]) == ("plain-turn", "smoke", device)
    assert row["claude_code_session_id"] == row["session_id"] == result["session_id"]
    assert row["client"].startswith("claude-cli/")
    assert gateway.seen(row).json()["metadata"] == {"user_id": row["actor_id"]}
    assert gateway.seen(row).target == "/v1/messages?beta=true"


def test_a_tool_loop(gateway, tmp_path) -> None:
    result = run_claude(gateway, tmp_path, gateway.key("tool-loop"), BASH, *BASH_ALLOWED)
    rows = gateway.settled_rows(2, session=result["session_id"])
    assert kept(rows) == used(result)
    assert [row["finish_reason"] for row in rows] == ["tool_use", "end_turn"]
    assert b"from the desk" in gateway.seen(rows[1]).body


def test_a_sub_agent(gateway, tmp_path) -> None:
    result = run_claude(gateway, tmp_path, gateway.key("sub-agent"), AGENT, *BASH_ALLOWED, "Agent")
    rows = gateway.settled_rows(sent_in(gateway, result["session_id"]), session=result["session_id"])
    assert kept(rows) == used(result)
    agents = {row["agent_id"] for row in rows}
    assert None in agents
    assert len(agents) == 2
    assert {row["user"] for row in rows} == {"sub-agent"}


def test_an_overload_is_retried_and_every_attempt_has_its_row(gateway, tmp_path) -> None:
    gateway.provider.simulate("status=529", times=2)
    result = run_claude(gateway, tmp_path, gateway.key("overloaded"), "hi")
    rows = gateway.settled_rows(3, session=result["session_id"])
    assert [row["http_status"] for row in rows] == [529, 529, 200]
    assert kept(rows[2:]) == used(result)


def test_torn_streams_keep_what_they_had_reported(gateway, tmp_path) -> None:
    """Claude Code 2.1.330 leaves them out of its own account; the provider does not."""
    gateway.provider.simulate("error-after=4", times=2)
    result = run_claude(gateway, tmp_path, gateway.key("torn"), "hi", CLAUDE_CODE_MAX_RETRIES="2")
    *torn, last = gateway.settled_rows(3, session=result["session_id"])
    assert kept([last]) == used(result)
    for row in torn:
        assert (row["usage_complete"], row["error_type"]) == (False, "overloaded_error")
        assert row["input_tokens"] == gateway.seen(row).reported.input
        assert row["output_tokens"] == 1


def test_claims_in_extra_metadata_are_kept_as_claims(gateway, tmp_path) -> None:
    claims = json.dumps({"user": "somebody-else", "job": "liveblog"})
    result = run_claude(gateway, tmp_path, gateway.key("claimer"), "hi", CLAUDE_CODE_EXTRA_METADATA=claims)
    (row,) = gateway.settled_rows(1, session=result["session_id"])
    assert (row["user"], row["claimed_user"]) == ("claimer", "somebody-else")
    assert (row["job"], row["claimed_job"]) == ("liveblog", "liveblog")
    assert row["device_id"]


def test_both_credentials_at_once_never_leak_one_upstream(gateway, tmp_path) -> None:
    key = gateway.key("two-headers")
    result = run_claude(gateway, tmp_path, key, "hi", ANTHROPIC_API_KEY="sk-ant-some-other")
    (row,) = gateway.settled_rows(1, session=result["session_id"])
    seen = gateway.seen(row)
    assert row["user"] == "two-headers"
    assert (seen.header("x-api-key"), seen.header("authorization")) == ("sk-ant-upstream", None)


def sent_in(gateway, session_id: str) -> int:
    """How many requests of a session reached the provider."""
    header = "x-claude-code-session-id"
    return sum(seen.header(header) == session_id for seen in gateway.provider.requests)
