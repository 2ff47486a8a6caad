"""A supervisor in a process of its own, real children, real signals."""

from __future__ import annotations

import json
import os
import random
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

SERVE = """
import json, logging, os, sys
from byline.gateway.child import ChildPlan, RestartPolicy
from byline.gateway.supervisor import Supervisor

logging.basicConfig(level="INFO", format="%(levelname)s %(message)s")
given = json.loads(sys.argv[1])
stages = [[ChildPlan(name, [sys.executable, "-c", script, name, given["log"]], given["stop_timeout_s"])
           for name, script in stage] for stage in given["stages"]]
held = [os.open(path, os.O_RDWR | os.O_CREAT) for path in given["held"]]
import fcntl
for fd in held:
    fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
supervisor = Supervisor(stages, environ=os.environ, held_fds=held,
    policy=RestartPolicy(first_pause_s=0.01, longest_pause_s=given["longest_pause_s"], stable_s=given["stable_s"]),
    on_ready=lambda: print("ready", json.dumps(supervisor.pids()), flush=True))
code = supervisor.run()
print("stopped", flush=True)
sys.exit(code)
"""

CHILD = """
import os, signal, sys, time
from byline.gateway.supervised import Supervised
name, log = sys.argv[1], os.open(sys.argv[2], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
def note(word):
    os.write(log, f"{name} {word} {os.getpid()}\\n".encode())
supervised = Supervised.attach(os.environ)
"""
WORKS = (
    CHILD
    + """
def stop(*_):
    note("stopping")
    time.sleep(0.05)
    note("stopped")
    sys.exit(0)
signal.signal(signal.SIGTERM, stop)
signal.signal(signal.SIGINT, lambda *_: note("interrupted"))
signal.signal(signal.SIGHUP, lambda *_: note("hup"))
note("started")
supervised.ready()
while True: signal.pause()
"""
)
IGNORES_STOP = (
    CHILD
    + """
signal.signal(signal.SIGTERM, lambda *_: note("ignored"))
note("started")
supervised.ready()
while True: signal.pause()
"""
)
CANNOT_START = (
    CHILD
    + """
note("started")
sys.exit("it says why")
"""
)
DIES_AFTER_READY = (
    CHILD
    + """
note("started")
supervised.ready()
time.sleep(0.01)
sys.exit(3)
"""
)
SLOW_TO_ATTACH = """
import os, sys, time
log, supervisor = os.open(sys.argv[2], os.O_WRONLY | os.O_APPEND | os.O_CREAT), os.getppid()
os.write(log, f"slow early {os.getpid()}\\n".encode())
while os.getppid() == supervisor:
    time.sleep(0.01)
from byline.gateway.supervised import Supervised
Supervised.attach(os.environ)
os.write(log, f"slow started {os.getpid()}\\n".encode())
time.sleep(60)
"""

PATIENCE_S = 20.0


def until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, f"not within {PATIENCE_S} s: {what}"
        time.sleep(0.01)


def is_alive(pid: int) -> bool:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat.rpartition(")")[2].split()[0] not in ("Z", "X")


class Served:
    def __init__(self, directory: Path, stages: list[list[tuple[str, str]]], **given: object) -> None:
        self.log = directory / "log"
        options = {
            "stages": stages, "log": str(self.log), "stop_timeout_s": 10.0, "longest_pause_s": 0.1,
            "stable_s": 1.0, "held": [], **given,
        }  # fmt: skip
        self.process = subprocess.Popen(
            [sys.executable, "-c", SERVE, json.dumps(options)], stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )

    def line(self) -> str:
        assert self.process.stdout is not None
        readable, _, _ = select.select([self.process.stdout], [], [], PATIENCE_S)
        assert readable, "the supervisor said nothing"
        return self.process.stdout.readline().decode().strip()

    def pids(self) -> dict[str, int]:
        word, _, pids = self.line().partition(" ")
        assert word == "ready"
        return json.loads(pids)

    def notes(self) -> list[tuple[str, str]]:
        return [(name, word) for name, word, _ in self.entries()]

    def entries(self) -> list[tuple[str, str, int]]:
        """A line that is being written is for the next time."""
        lines = self.log.read_text().rpartition("\n")[0].splitlines() if self.log.exists() else []
        return [(name, word, int(pid)) for name, word, pid in (line.split() for line in lines)]

    def all_pids(self) -> set[int]:
        return {pid for _, _, pid in self.entries()}

    def stop(self, number: int = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.ended()

    def ended(self) -> int:
        self.output, self.errors = self.process.communicate(timeout=PATIENCE_S)
        return self.process.returncode

    def clean(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        if self.process.stdout is not None and not self.process.stdout.closed:
            self.process.communicate()
        until(lambda: not any(is_alive(pid) for pid in self.all_pids()), "children ended")


Serve = Callable[..., Served]


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    running: list[Served] = []

    def start(*stages: list[tuple[str, str]], **given: object) -> Served:
        directory = tmp_path / str(len(running))
        directory.mkdir()
        running.append(Served(directory, list(stages), **given))
        return running[-1]

    yield start
    for served in running:
        served.clean()


class TestStarting:
    def test_it_is_ready_when_every_child_is(self, serve: Serve) -> None:
        served = serve([("w1", WORKS), ("w2", WORKS)], [("ledger", WORKS)])
        assert set(served.pids()) == {"w1", "w2", "ledger"}
        assert sorted(served.notes()) == [("ledger", "started"), ("w1", "started"), ("w2", "started")]

    def test_a_child_that_cannot_start_ends_the_rest(self, serve: Serve) -> None:
        served = serve([("w1", WORKS)], [("broken", CANNOT_START)])
        assert served.ended() == 1
        assert b"it says why" in served.errors
        assert b"ready" not in served.output

    def test_children_read_nothing_from_the_terminal(self, serve: Serve) -> None:
        reads = (
            CHILD + "note('empty' if sys.stdin.read() == '' else 'read')\nsupervised.ready()\ntime.sleep(60)"
        )
        served = serve([("w1", reads)])
        served.pids()
        assert served.notes() == [("w1", "empty")]

    def test_grandchildren_inherit_nothing(self, serve: Serve, tmp_path: Path) -> None:
        script = (
            CHILD
            + """
fds = [fd for fd in range(3, 64) if os.path.exists(f"/proc/self/fd/{fd}") and os.get_inheritable(fd)]
note(f"inheritable={len(fds)},variable={'BYLINE_SUPERVISED' in os.environ}")
supervised.ready()
time.sleep(60)
"""
        )
        served = serve([("w1", script)], held=[str(tmp_path / "lock")])
        served.pids()
        assert served.notes() == [("w1", "inheritable=0,variable=False")]


class TestRestarting:
    @pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGSEGV])
    def test_what_dies_is_started_again(self, serve: Serve, number: int) -> None:
        served = serve([("w1", WORKS), ("w2", WORKS)], [("ledger", WORKS)])
        pids = served.pids()
        os.kill(pids["w1"], number)
        until(lambda: served.notes().count(("w1", "started")) == 2, "a second life")
        assert served.notes().count(("w2", "started")) == 1
        assert is_alive(pids["ledger"])
        assert served.stop() == 0
        again = served.all_pids().difference(pids.values()).pop()
        said = served.errors.decode().splitlines()
        how = "exit code 0" if number == signal.SIGTERM else signal.Signals(number).name
        assert said[:2] == [f"WARNING w1 ended ({how})", f"INFO w1 was started again (pid {again})"]

    def test_a_child_that_keeps_dying_is_started_ever_more_rarely(self, serve: Serve) -> None:
        served = serve([("w1", WORKS), ("dying", DIES_AFTER_READY)], longest_pause_s=1000.0, stable_s=1000.0)
        until(lambda: served.notes().count(("dying", "started")) >= 4, "restarts")
        # 0.01 0.02 0.04 0.08: a fifth would follow within 0.2 s if pauses did not grow beyond that.
        assert served.stop() == 0
        assert served.notes().count(("dying", "started")) < 12

    def test_once_it_worked_for_a_while_its_next_death_is_like_the_first(self, serve: Serve) -> None:
        served = serve([("w1", WORKS)], longest_pause_s=1000.0, stable_s=0.0)
        pid = served.pids()["w1"]
        for life in range(2, 12):
            os.kill(pid, signal.SIGKILL)
            until(lambda life=life: served.notes().count(("w1", "started")) == life, f"life {life}")
            pid = served.entries()[-1][2]

    def test_many_kills_at_random_leave_everything_running(self, serve: Serve) -> None:
        chance = random.Random(7)
        served = serve([("w1", WORKS), ("w2", WORKS)], [("ledger", WORKS)], stable_s=0.0)
        served.pids()
        for _ in range(12):
            alive = [pid for pid in served.all_pids() if is_alive(pid)]
            if alive:
                with suppress(ProcessLookupError):  # of the last kill, and reaped just now
                    os.kill(chance.choice(alive), signal.SIGKILL)
            time.sleep(chance.random() * 0.1)  # the moment of the next kill
        until(lambda: sum(is_alive(pid) for pid in served.all_pids()) == 3, "all three are back")
        assert served.stop() == 0
        assert not any(is_alive(pid) for pid in served.all_pids())


class TestStopping:
    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
    def test_workers_stop_before_the_ledger_process(self, serve: Serve, number: int) -> None:
        served = serve([("w1", WORKS), ("w2", WORKS)], [("ledger", WORKS)])
        served.pids()
        assert served.stop(number) == 0
        notes = [note for note in served.notes() if note[1] != "started"]
        assert sorted(notes[:4]) == [
            ("w1", "stopped"),
            ("w1", "stopping"),
            ("w2", "stopped"),
            ("w2", "stopping"),
        ]
        assert notes[4:] == [("ledger", "stopping"), ("ledger", "stopped")]

    def test_a_ctrl_c_on_the_terminal_reaches_the_supervisor_alone(self, serve: Serve) -> None:
        served = serve([("w1", WORKS)])
        pids = served.pids()
        assert os.getpgid(pids["w1"]) not in (os.getpgid(served.process.pid), os.getpgid(0))

    def test_what_does_not_stop_in_time_is_killed_and_the_exit_code_says_so(self, serve: Serve) -> None:
        served = serve([("stubborn", IGNORES_STOP)], [("ledger", WORKS)], stop_timeout_s=0.1)
        served.pids()
        assert served.stop() == 1
        assert ("ledger", "stopping") in served.notes()
        assert not is_alive(served.process.pid)
        assert not any(is_alive(pid) for pid in served.all_pids())

    def test_a_second_signal_does_not_wait(self, serve: Serve) -> None:
        served = serve([("stubborn", IGNORES_STOP)], [("ledger", WORKS)], stop_timeout_s=1000.0)
        served.pids()
        served.process.send_signal(signal.SIGINT)
        until(lambda: ("stubborn", "ignored") in served.notes(), "the first signal")
        assert served.stop(signal.SIGINT) == 0
        assert served.notes()[-1] == ("ledger", "stopped")
        said = served.errors.decode().splitlines()
        assert said[:2] == [
            "INFO stopping; a second signal ends at once what is still under way",
            "WARNING stubborn ended (SIGKILL)",
        ]

    def test_a_child_waiting_for_its_restart_does_not_hold_up_the_stop(self, serve: Serve) -> None:
        served = serve(
            [("dying", DIES_AFTER_READY)], [("ledger", WORKS)], longest_pause_s=1000.0, stable_s=1000.0
        )
        until(lambda: served.notes().count(("dying", "started")) >= 3, "restarts")
        assert served.stop() == 0

    def test_a_hang_up_goes_on_to_the_children(self, serve: Serve) -> None:
        served = serve([("w1", WORKS), ("quiet", IGNORES_STOP)])
        pids = served.pids()
        served.process.send_signal(signal.SIGHUP)
        until(lambda: ("w1", "hup") in served.notes(), "SIGHUP arrived")
        assert is_alive(pids["quiet"])


class TestKilledSupervisor:
    def test_its_children_end_with_it(self, serve: Serve) -> None:
        served = serve([("w1", WORKS), ("stubborn", IGNORES_STOP)], [("ledger", WORKS)])
        pids = served.pids()
        served.process.kill()
        until(lambda: not any(is_alive(pid) for pid in pids.values()), "all children are gone")

    def test_a_child_that_was_still_starting_notices_too(self, serve: Serve) -> None:
        served = serve([("slow", SLOW_TO_ATTACH)])
        until(lambda: ("slow", "early") in served.notes(), "the child runs")
        served.process.kill()
        until(lambda: not any(is_alive(pid) for pid in served.all_pids()), "it is gone")
        assert ("slow", "started") not in served.notes()

    def test_a_lock_it_held_lasts_until_the_last_child_is_gone(self, serve: Serve, tmp_path: Path) -> None:
        lock = str(tmp_path / "lock")
        first = serve([("w1", WORKS)], held=[lock])
        pids = first.pids()
        second = serve([("w1", WORKS)], held=[lock])
        assert second.ended() == 1
        assert b"BlockingIOError" in second.errors
        first.process.kill()
        until(lambda: not is_alive(pids["w1"]), "the child is gone")
        third = serve([("w1", WORKS)], held=[lock])
        third.pids()
        assert third.stop() == 0


def test_without_a_supervisor_attach_and_ready_do_nothing() -> None:
    script = (
        "import os, signal\nfrom byline.gateway.supervised import Supervised\n"
        "before = signal.getsignal(signal.SIGHUP)\nSupervised.attach(os.environ).ready()\n"
        "assert signal.getsignal(signal.SIGHUP) == before"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
