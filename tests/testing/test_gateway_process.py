from __future__ import annotations

import socket
from pathlib import Path

import pytest

from byline.testing.gateway_process import GatewayFailed, GatewayProcess


def config(directory: Path, text: str = "") -> Path:
    path = directory / "byline.toml"
    path.write_text(f'data_dir = "{directory / "data"}"\ngateway.port = 0\nconsole.port = 0\n{text}')
    return path


def test_a_gateway_that_cannot_start_says_why(tmp_path) -> None:
    with pytest.raises(GatewayFailed, match=r"ended with 1(?s:.*)gateway\.workerz"):
        GatewayProcess(config(tmp_path, "gateway.workerz = 2\n")).start()


def test_a_gateway_serves_inside_the_block_and_is_gone_after_it(tmp_path) -> None:
    with GatewayProcess(config(tmp_path)) as gateway:
        address = ("127.0.0.1", int(gateway.base_url.rpartition(":")[2]))
        socket.create_connection(address).close()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(address)
