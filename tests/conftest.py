"""What tests of the whole system share: a simulated provider with a real `byline serve` before it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, settings

from byline.control.database import open_control
from byline.control.keys import NewKey, create_key
from byline.identity.model import ActorKind
from byline.testing import SeenRequest, SimulatedProvider
from byline.testing.gateway_process import GatewayProcess

# Busy machines are slow: that is no finding.
settings.register_profile("byline", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("byline")

# A shell starts background jobs with interrupts ignored, and so would be whatever the tests start and interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

PROVIDER_KEYS = {"ANTHROPIC_API_KEY": "sk-ant-upstream", "OPENAI_API_KEY": "sk-upstream"}
CONFIG = """\
data_dir = "{data_dir}"
gateway.port = 0
console.port = 0
gateway.shutdown_timeout = "2s"
keys.poll_interval = "20ms"
[providers.anthropic]
base_url = "{provider}"
api_key_env = "ANTHROPIC_API_KEY"
[providers.openai]
base_url = "{provider}"
api_key_env = "OPENAI_API_KEY"
"""


@dataclass(frozen=True)
class Gateway:
    """A running gateway, with the provider behind it and the books it keeps."""

    base_url: str
    provider: SimulatedProvider
    config: Path
    data_dir: Path

    @property
    def openai_base_url(self) -> str:
        return f"{self.base_url}/v1"

    def key(
        self, user: str, *, team: str = "desk", job: str | None = None, kind: ActorKind = "person"
    ) -> str:
        """A new key that the gateway already accepts."""
        with open_control(self.data_dir / "control.sqlite3") as database:
            new = create_key(database, user, team=team, job=job, kind=kind)
        self._wait_until_known(new)
        return new.text

    def rows(self, **filters: str) -> list[dict[str, Any]]:
        """What `byline requests` says of attempts sent upstream, oldest first."""
        options = [part for name, value in filters.items() for part in (f"--{name}", value)]
        command = [sys.executable, "-m", "byline.cli", "requests", "--config", str(self.config)]
        printed = subprocess.check_output(
            [*command, "--limit", "1000", "--format", "json", *options], timeout=30
        )
        return [row for row in reversed(json.loads(printed)) if row["outcome"] != "rejected"]

    def settled_rows(self, count: int, **filters: str) -> list[dict[str, Any]]:
        """`rows`, once there are `count` of them: at most two seconds after the last answer."""
        deadline = time.monotonic() + 5
        while len(rows := self.rows(**filters)) < count and time.monotonic() < deadline:
            pass
        assert len(rows) == count, [(row["api"], row["outcome"], row["http_status"]) for row in rows]
        return rows

    def seen(self, row: dict[str, Any]) -> SeenRequest:
        """The request that a row is about, as the provider saw it."""
        return next(s for s in self.provider.requests if s.request_id == row["upstream_request_id"])

    def _wait_until_known(self, new: NewKey) -> None:
        headers, deadline = {"authorization": f"Bearer {new.text}"}, time.monotonic() + 5
        while httpx.get(f"{self.base_url}/nowhere", headers=headers).status_code == 401:
            assert time.monotonic() < deadline, "the gateway does not take up new keys"


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    directory = tmp_path_factory.mktemp("byline")
    data_dir, config = directory / "data", directory / "byline.toml"
    data_dir.mkdir(mode=0o700)
    with SimulatedProvider(api_keys=PROVIDER_KEYS.values()) as provider:
        config.write_text(CONFIG.format(data_dir=data_dir, provider=provider.base_url))
        with GatewayProcess(config, environ=PROVIDER_KEYS) as process:
            yield Gateway(process.base_url, provider, config, data_dir)
