"""All processes of a running server follow the log level that a feature says."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path

from tests.system.children import worker_pid

from byline.testing.gateway_process import GatewayProcess

CONFIG = """\
data_dir = "data"
gateway.port = 0
console.port = 0
gateway.shutdown_timeout = "2s"
log.level = "error"
[flags]
source = "file"
file = "features.json"
"""


def write_level(path: Path, level: str) -> None:
    fresh = path.with_suffix(".new")
    fresh.write_text(json.dumps({"features": {"gateway.log_level": {"defaultValue": level}}}))
    fresh.replace(path)


def kill_worker(gateway: GatewayProcess, deadline: float) -> None:
    """Returns once another has taken its place."""
    killed = worker_pid(gateway.pid)
    if killed is not None:
        os.kill(killed, signal.SIGKILL)
    while worker_pid(gateway.pid) in (killed, None):
        assert time.monotonic() < deadline, "no worker takes its place"
        time.sleep(0.02)


def test_the_supervisor_says_more_or_less_as_the_feature_says(tmp_path: Path) -> None:
    config, features = tmp_path / "byline.toml", tmp_path / "features.json"
    config.write_text(CONFIG)
    (tmp_path / "data").mkdir(mode=0o700)
    write_level(features, "error")
    with GatewayProcess(config, environ={"ANTHROPIC_API_KEY": "sk-ant-upstream"}) as gateway:
        deadline = time.monotonic() + 60
        kill_worker(gateway, deadline)
        assert "worker0 ended" not in gateway.log.read_text()
        write_level(features, "warning")
        while "worker0 ended" not in gateway.log.read_text():
            assert time.monotonic() < deadline, "the supervisor still says errors only"
            kill_worker(gateway, deadline)
