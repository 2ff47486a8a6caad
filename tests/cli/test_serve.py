"""What `byline serve` says where its address can't be had: the address, and the setting to correct."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest


def refusal(directory: Path, gateway: str) -> str:
    (directory / "byline.toml").write_text(f"[gateway]\n{gateway}\n")
    serve = [sys.executable, "-m", "byline.cli", "serve"]
    ended = subprocess.run(serve, cwd=directory, capture_output=True, text=True)
    assert (ended.returncode, ended.stdout) == (1, "")
    return ended.stderr


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_a_port_in_use_is_named_with_the_setting(tmp_path: Path, taken_port: int) -> None:
    said = refusal(tmp_path, f"port = {taken_port}")
    assert f"can't listen on 127.0.0.1:{taken_port}: Address already in use; set gateway.port" in said


def test_a_host_that_has_no_address_is_named_with_the_setting(tmp_path: Path) -> None:
    said = refusal(tmp_path, 'host = "nowhere.invalid"')
    assert "can't listen on nowhere.invalid: " in said
    assert said.endswith("; correct gateway.host\n")
