from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from byline.usage.data_lock import DataDirInUse, DataLock, lock_for_serving
from byline.usage.ledger import LedgerUnavailable

HOLDER = """
import os, sys, time
from pathlib import Path
from byline.usage.data_lock import DataLock
lock = DataLock(Path(sys.argv[1]), "byline serve")
os.set_inheritable(lock.fileno(), True)
if len(sys.argv) > 2 and os.fork() == 0:
    os.write(1, f"{os.getpid()}\\n".encode())
    time.sleep(float(sys.argv[2]))
    os._exit(0)
if len(sys.argv) <= 2:
    os.write(1, b"0\\n")
time.sleep(60)
"""


def hold(path: Path, *arguments: str) -> tuple[subprocess.Popen[bytes], int]:
    process = subprocess.Popen([sys.executable, "-c", HOLDER, str(path), *arguments], stdout=subprocess.PIPE)
    assert process.stdout is not None
    return process, int(process.stdout.readline())


def end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.communicate()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "lock"


def no_sleep(_seconds: float) -> None:
    raise AssertionError("there was nothing to wait for")


def test_the_second_to_come_is_told_who_the_first_is(path: Path) -> None:
    lock = DataLock(path, "an upgrade")
    with pytest.raises(LedgerUnavailable, match=rf"in use by an upgrade \(pid {os.getpid()}\)"):
        DataLock(path, "another")
    lock.close()
    DataLock(path, "another").close()


def test_a_living_server_is_named_at_once(path: Path) -> None:
    server, _ = hold(path)
    with pytest.raises(DataDirInUse, match=rf"byline serve \(pid {server.pid}\)"):
        lock_for_serving(path, "byline serve", sleep=no_sleep)
    end(server)


def test_a_holder_that_ends_while_it_is_looked_at_is_dead(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server, _ = hold(path)
    read = Path.read_bytes

    def read_too_late(self: Path) -> bytes:
        with self.open("rb") as opened:
            end(server)
            monkeypatch.setattr(Path, "read_bytes", read)
            return opened.read()

    monkeypatch.setattr(Path, "read_bytes", read_too_late)
    lock_for_serving(path, "byline serve", sleep=lambda _: None).close()


def test_the_lock_of_a_killed_server_is_free(path: Path) -> None:
    server, _ = hold(path)
    end(server)
    lock_for_serving(path, "byline serve", sleep=no_sleep).close()


@pytest.mark.parametrize("reaped", [True, False])
def test_the_children_of_a_killed_server_are_waited_for(path: Path, reaped: bool) -> None:
    server, child = hold(path, "60")
    server.kill()
    if reaped:
        server.wait()
    else:
        os.waitid(os.P_PID, server.pid, os.WEXITED | os.WNOWAIT)
    naps: list[float] = []

    def sleep(seconds: float) -> None:
        naps.append(seconds)
        if len(naps) == 3:
            os.kill(child, signal.SIGKILL)

    lock_for_serving(path, "byline serve", now=lambda: 0.0, sleep=sleep).close()
    assert len(naps) >= 3
    server.communicate()


def test_a_command_that_reads_is_waited_for_but_not_for_ever(path: Path) -> None:
    reading = DataLock(path, "a byline command")
    time = 0.0

    def sleep(seconds: float) -> None:
        nonlocal time
        time += seconds

    clock: Callable[[], float] = lambda: time  # noqa: E731
    with pytest.raises(DataDirInUse, match="a byline command"):
        lock_for_serving(path, "byline serve", wait_s=1, now=clock, sleep=sleep)
    assert time >= 1
    lock_for_serving(path, "byline serve", now=clock, sleep=lambda _s: reading.close()).close()
