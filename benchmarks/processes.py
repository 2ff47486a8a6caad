"""What the kernel knows about processes and cores: CPU time, memory, children, pinning (Linux)."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_SCHEDULED = 2
"""CPUCLOCK_SCHED: what was run, by the scheduler's own account."""
TICKS_PER_S = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Memory:
    resident_mb: float
    peak_mb: float


def cpu_seconds(pid: int) -> float:
    """User and system time of all its threads, to the nanosecond: its CPU clock (clock_getcpuclockid(3))."""
    return time.clock_gettime(~pid << 3 | _SCHEDULED)


def memory(pid: int) -> Memory:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    kilobytes = {
        name: int(rest.split()[0])
        for name, _, rest in (line.partition(":") for line in lines)
        if name in {"VmRSS", "VmHWM"}
    }
    return Memory(kilobytes["VmRSS"] / 1024, kilobytes["VmHWM"] / 1024)


def busy_seconds(core: int) -> float:
    """Time a core was not idle, whoever used it."""
    for line in Path("/proc/stat").read_text().splitlines():
        name, *values = line.split()
        if name == f"cpu{core}":
            user, nice, system, _idle, _iowait, irq, softirq, *_ = map(int, values)
            return (user + nice + system + irq + softirq) / TICKS_PER_S
    raise ValueError(f"this machine has no core {core}")


def pin(pid: int, core: int) -> None:
    for thread in Path(f"/proc/{pid}/task").iterdir():
        os.sched_setaffinity(int(thread.name), {core})


def yield_to_others(pid: int) -> None:
    """Also at once: whatever its nice value, a thread may else keep the core for the rest of its slice, 3 ms."""
    for thread in Path(f"/proc/{pid}/task").iterdir():
        os.sched_setscheduler(int(thread.name), os.SCHED_IDLE, os.sched_param(0))


def prioritise(nice: int) -> None:
    """This process and all it starts, against other sessions as well.

    Where the kernel groups tasks by session, a nice value only counts within one: the group has its own.
    """
    with suppress(PermissionError):  # leads a group already, which a session leader always does
        os.setsid()
    os.setpriority(os.PRIO_PROCESS, 0, nice)
    group = Path("/proc/self/autogroup")
    if group.exists():
        group.write_text(str(nice))


def children(pid: int) -> list[int]:
    """Empty for a process that is gone."""
    try:
        return [
            int(child)
            for thread in Path(f"/proc/{pid}/task").iterdir()
            for child in (thread / "children").read_text().split()
        ]
    except (FileNotFoundError, ProcessLookupError):
        return []


def descendants(pid: int) -> list[int]:
    direct = children(pid)
    return direct + [below for child in direct for below in descendants(child)]


def alive(pid: int) -> bool:
    """A zombie is not: all it still holds is its exit code."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def listens_on(pid: int, port: int) -> bool:
    wanted = {f"socket:[{inode}]" for inode in _listening_inodes(port)}
    return not wanted.isdisjoint(_open_files(pid))


def has_open(pid: int, path: Path) -> bool:
    return str(path.resolve()) in _open_files(pid)


def _open_files(pid: int) -> set[str]:
    targets: set[str] = set()
    try:
        for entry in Path(f"/proc/{pid}/fd").iterdir():
            with suppress(FileNotFoundError):  # closed meanwhile
                targets.add(os.readlink(entry))
    except (FileNotFoundError, ProcessLookupError):
        pass
    return targets


def _listening_inodes(port: int) -> set[str]:
    listen_state = "0A"
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return {row[9] for row in rows if row[3] == listen_state and int(row[1].rpartition(":")[2], 16) == port}
