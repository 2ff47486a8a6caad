"""The limit of open files is raised as far as it may be, and holds the connections down where it must."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable

import pytest
from tests.gateway.conftest import Rig, receive_until

from byline.gateway import open_files

RAISE = """
import json, resource, sys
from byline.gateway import open_files
resource.setrlimit(resource.RLIMIT_NOFILE, (int(sys.argv[1]), int(sys.argv[2])))
reach = open_files.limit_within_reach()
print(json.dumps([reach, open_files.raise_limit(), open_files.limit_in_force()]))
"""


def raised(soft: int, hard: int) -> list[int]:
    """In a process of its own: a hard limit once lowered stays."""
    done = subprocess.run(
        [sys.executable, "-c", RAISE, str(soft), str(hard)], capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout)


@pytest.mark.parametrize(("soft", "hard"), [(256, 1024), (1024, 1024)])
def test_the_soft_limit_becomes_the_hard_one(soft: int, hard: int) -> None:
    assert raised(soft, hard) == [hard, hard, hard]


def test_a_shortage_is_told_with_what_is_carried() -> None:
    assert open_files.connections_carried(1024) == 448
    told = open_files.shortage(1024, 10_000)
    assert told is not None
    assert "1,024 files open" in told
    assert "448 connections" in told
    assert "10,000" in told
    assert open_files.shortage(20_128, 10_000) is None
    assert open_files.shortage(20_000, 10_000) is None  # 64 fewer of 10,000


def test_no_limit_is_too_small_for_one_connection() -> None:
    assert open_files.connections_carried(20) == 1


def test_a_worker_takes_no_more_connections_than_its_limit_carries(
    make_rig: Callable[..., Rig], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(open_files, "limit_in_force", lambda: open_files.OTHER_FILES + 2)
    rig = make_rig()
    with rig.connect() as first:
        first.sendall(b"HEAD / HTTP/1.1\r\nHost: g\r\n\r\n")
        assert receive_until(first, b"\r\n\r\n").startswith(b"HTTP/1.1 200 ")
        with rig.connect() as second:
            assert receive_until(second, b"never").startswith(b"HTTP/1.1 503 ")
