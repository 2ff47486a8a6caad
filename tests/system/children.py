"""Finds the processes of a running server, to end one as a fault would."""

from __future__ import annotations

from pathlib import Path


def worker_pid(supervisor: int, name: str = "worker0") -> int | None:
    """None while there is none: it ended, and the next has not started yet."""
    children = Path(f"/proc/{supervisor}/task/{supervisor}/children").read_text().split()
    return next((int(pid) for pid in children if name in _command_line(pid)), None)


def _command_line(pid: str) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except (FileNotFoundError, ProcessLookupError):  # reaped since the children were listed
        return ""
