"""The same headers to the quota reader and to Claude Code itself: both must see the same."""

from __future__ import annotations

import json
import os
import subprocess
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from tests.quota.header_cases import CASES, Case

from byline.quota.reading import read_quota
from byline.quota.snapshot import QuotaSnapshot
from byline.testing import SimulatedProvider

SPEC = find_spec("claude_agent_sdk")
CLAUDE = Path(SPEC.origin).parent / "_bundled" / "claude" if SPEC and SPEC.origin else None

pytestmark = [
    pytest.mark.real_client,
    pytest.mark.skipif(
        CLAUDE is None or not CLAUDE.exists(),
        reason="Claude Code is missing: pip install -r requirements/real-clients.txt",
    ),
]
REPORTED = {
    "status": "status",
    "resetsAt": "resets_at",
    "rateLimitType": "rate_limit_type",
    "utilization": "utilization",
    "overageStatus": "overage_status",
    "overageResetsAt": "overage_resets_at",
    "overageDisabledReason": "overage_disabled_reason",
    "isUsingOverage": "is_using_overage",
    "overageInUse": "overage_in_use",
    "surpassedThreshold": "surpassed_threshold",
}
REPORTED_OF_A_WINDOW = {
    "utilization": "utilization",
    "resetsAt": "resets_at",
    "status": "status",
    "surpassedThreshold": "surpassed_threshold",
}


def reported_by_claude_code(case: Case, home: Path, now: int) -> dict[str, Any]:
    """`rate_limit_info` of its last `rate_limit_event`, with a subscription's token."""
    headers = case.lines(now)
    options = {"headers": headers, "quota": "none"}
    if case.status_code != 200:
        options["status"] = case.status_code
    with SimulatedProvider(simulate=options) as provider:
        environ = {
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "TERM": "xterm",
            "ANTHROPIC_BASE_URL": provider.base_url,
            "CLAUDE_CODE_OAUTH_TOKEN": "sk-ant-oat01-simulated",
            "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
            "CLAUDE_CODE_MAX_RETRIES": "0",
            "DISABLE_TELEMETRY": "1",
            "DISABLE_ERROR_REPORTING": "1",
            "DISABLE_AUTOUPDATER": "1",
        }
        command = [str(CLAUDE), "-p", "hi", "--output-format", "stream-json", "--verbose"]
        done = subprocess.run(
            command,
            env=environ,
            cwd=home,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=90,
        )
    events = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    infos = [event["rate_limit_info"] for event in events if event["type"] == "rate_limit_event"]
    assert infos, done.stderr[-1000:] + done.stdout[-1000:]
    return infos[-1]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_claude_code_reports_the_same(case: Case, tmp_path: Path) -> None:
    now = int(time.time())
    info = reported_by_claude_code(case, tmp_path, now)
    snapshot = read_quota(case.lines(now), status_code=case.status_code, now=now)
    ours = {theirs: getattr(snapshot, name) for theirs, name in REPORTED.items() if theirs in info}
    assert ours == {name: value for name, value in info.items() if name in REPORTED}
    for name, window in info.get("unifiedWindows", {}).items():
        assert {
            theirs: getattr(snapshot.windows[name], REPORTED_OF_A_WINDOW[theirs]) for theirs in window
        } == window
    assert not _unreported(snapshot, info)


def _unreported(snapshot: QuotaSnapshot, info: dict[str, Any]) -> list[str]:
    """What we would say and Claude Code wouldn't."""
    return [name for theirs, name in REPORTED.items() if theirs not in info and getattr(snapshot, name)]
