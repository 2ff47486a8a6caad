"""Claude Code itself, refused by a budget of ours."""

from __future__ import annotations

import json
import os
import subprocess
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from tests.conftest import PROVIDER_KEYS

from byline.control.database import open_control
from byline.control.keys import create_key
from byline.testing import SimulatedProvider
from byline.testing.gateway_process import GatewayProcess

SPEC = find_spec("claude_agent_sdk")
CLAUDE = Path(SPEC.origin).parent / "_bundled" / "claude" if SPEC and SPEC.origin else None

pytestmark = [
    pytest.mark.real_client,
    pytest.mark.skipif(
        CLAUDE is None or not CLAUDE.exists(),
        reason="Claude Code is missing: pip install -r requirements/real-clients.txt",
    ),
]
SETTINGS = """\
data_dir = "{data_dir}"
gateway.port = 0
console.port = 0
[providers.anthropic]
base_url = "{provider}"
[providers.openai]
base_url = "{provider}"
[budgets.nobody-much]
user = "poor"
usd_per_day = "0.001"
contact = "finance@example.com"
[budgets.nearly]
user = "nearly"
usd_per_day = "{nearly}"
mode = "soft"
"""


def run_claude(base_url: str, home: Path, key: str, **environ: str) -> list[dict[str, Any]]:
    settings = {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "TERM": "xterm",
        "ANTHROPIC_BASE_URL": base_url,
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
        "DISABLE_TELEMETRY": "1",
        "DISABLE_ERROR_REPORTING": "1",
        "DISABLE_AUTOUPDATER": "1",
        **environ,
    }
    home.mkdir()
    command = [str(CLAUDE), "-p", "hi", "--output-format", "stream-json", "--verbose"]
    done = subprocess.run(
        command, env=settings, cwd=home, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=90
    )
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


def rows(config: Path, user: str) -> list[dict[str, Any]]:
    command = [".venv/bin/byline", "requests", "--config", str(config), "--user", user, "--format", "json"]
    return json.loads(subprocess.check_output(command, timeout=60))


@pytest.mark.parametrize("mode", ["gateway", "subscription", "plain key"])
def test_the_refusals_text_is_shown_after_one_request(mode: str, tmp_path: Path) -> None:
    data_dir, config = tmp_path / "data", tmp_path / "byline.toml"
    data_dir.mkdir(mode=0o700)
    with SimulatedProvider(api_keys=PROVIDER_KEYS.values()) as provider:
        config.write_text(SETTINGS.format(data_dir=data_dir, provider=provider.base_url, nearly="0.001"))
        with open_control(data_dir / "control.sqlite3") as database:
            key = create_key(database, "poor").text
        environ = {
            "gateway": {"ANTHROPIC_AUTH_TOKEN": key, "CLAUDE_CODE_USE_GATEWAY": "1"},
            "subscription": {"CLAUDE_CODE_OAUTH_TOKEN": key},
            "plain key": {"ANTHROPIC_AUTH_TOKEN": key},
        }[mode]
        with GatewayProcess(config, environ=PROVIDER_KEYS) as gateway:
            events = run_claude(gateway.base_url, tmp_path / "home", key, **environ)
        assert not [seen for seen in provider.requests if seen.target.startswith("/v1/messages?")]
    refused = [row for row in rows(config, "poor") if row["api"] == "messages"]
    assert [row["outcome"] for row in refused] == ["rejected"], refused
    (result,) = [event["result"] for event in events if event["type"] == "result"]
    assert "the limit of $0.001 per day for user poor has no room for this request" in result
    assert "ask finance@example.com for more" in result
    if mode != "plain key":
        assert result.startswith("the limit of")


@pytest.mark.parametrize(("used", "threshold"), [(0.0, None), (0.76, 0.75), (0.96, 0.95)])
def test_a_budget_that_is_nearly_used_up_warns(used: float, threshold: float | None, tmp_path: Path) -> None:
    """A soft budget, so that the second request is answered whatever it reserves."""
    data_dir, config = tmp_path / "data", tmp_path / "byline.toml"
    data_dir.mkdir(mode=0o700)
    with SimulatedProvider(api_keys=PROVIDER_KEYS.values()) as provider:
        provider.simulate("tokens=input-uncached:100000,output:10", times=1)
        cost = 0.30015 / used if used else 1000.0
        config.write_text(
            SETTINGS.format(data_dir=data_dir, provider=provider.base_url, nearly=f"{cost:.6f}")
        )
        with open_control(data_dir / "control.sqlite3") as database:
            key = create_key(database, "nearly").text
        environ = {
            "ANTHROPIC_AUTH_TOKEN": key,
            "CLAUDE_CODE_USE_GATEWAY": "1",
            "ANTHROPIC_MODEL": "claude-sonnet-4-6",
        }
        with GatewayProcess(config, environ=PROVIDER_KEYS) as gateway:
            run_claude(gateway.base_url, tmp_path / "first", key, **environ)
            events = run_claude(gateway.base_url, tmp_path / "second", key, **environ)
    info = [event["rate_limit_info"] for event in events if event["type"] == "rate_limit_event"][-1]
    assert info["status"] == ("allowed" if threshold is None else "allowed_warning")
    assert info.get("surpassedThreshold") == threshold
    assert info["rateLimitType"] == "overage"
