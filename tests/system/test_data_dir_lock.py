"""`byline serve` beside commands that have the data directory for themselves, as real processes."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from byline.testing.gateway_process import GatewayProcess
from byline.usage.data_lock import DataLock

CONFIG = """
data_dir = "{data_dir}"
[gateway]
port = 0
[console]
port = 0
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    data_dir, config = tmp_path / "data", tmp_path / "byline.toml"
    data_dir.mkdir(mode=0o700)
    config.write_text(CONFIG.format(data_dir=data_dir))
    return config


@pytest.fixture
def command(config: Path) -> Iterator[DataLock]:
    """What any reading command holds while no server runs."""
    lock = DataLock(config.parent / "data" / "lock", "a byline command")
    yield lock
    lock.close()


def wait_until_read(file: Path) -> None:
    """Whoever finds the lock taken reads who has it, and that leaves its time on the file."""
    os.utime(file, ns=(0, time.time_ns()))
    deadline = time.monotonic() + 30
    while file.stat().st_atime_ns == 0:
        assert time.monotonic() < deadline, "nobody looked at the lock"
        time.sleep(0.005)


def test_a_server_waits_for_a_command_that_reads_the_ledger(config: Path, command: DataLock) -> None:
    gateway = GatewayProcess(config)
    starting = threading.Thread(target=gateway.start)
    starting.start()
    try:
        wait_until_read(config.parent / "data" / "lock")
        assert starting.is_alive()
        command.close()
        starting.join()
        assert httpx.get(f"{gateway.base_url}/healthz").status_code == 200
    finally:
        starting.join()
        gateway.stop()


def test_a_server_that_waited_in_vain_says_for_whom(config: Path, command: DataLock) -> None:
    serve = [sys.executable, "-m", "byline.cli", "serve", "--config", str(config)]
    ended = subprocess.run(serve, capture_output=True, text=True)
    assert ended.returncode == 1
    assert f"in use by a byline command (pid {os.getpid()}): stop that first" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_command_waits_for_another_one(config: Path, command: DataLock) -> None:
    usage = [sys.executable, "-m", "byline.cli", "usage", "--config", str(config), "--format", "json"]
    asking = subprocess.Popen(usage, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    wait_until_read(config.parent / "data" / "lock")
    assert asking.poll() is None
    command.close()
    out, err = asking.communicate()
    assert (asking.returncode, out.strip(), err) == (0, "[]", "")
