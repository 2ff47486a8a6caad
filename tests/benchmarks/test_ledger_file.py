from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import duckdb

from benchmarks.ledger_file import locked, marked_rows
from benchmarks.verdict import MarkedRow


def test_nobody_opens_a_database_whose_lock_is_held(tmp_path: Path) -> None:
    path = tmp_path / "ledger.duckdb"
    duckdb.connect(str(path)).close()
    # Another process must find the lock: within one process POSIX locks don't exclude.
    script = f"import duckdb; duckdb.connect({str(path)!r})"
    with locked(path):
        refused = _python(script)
    assert refused.returncode != 0
    assert "lock" in refused.stderr
    assert _python(script).returncode == 0


def test_the_lock_waits_for_its_present_holder(tmp_path: Path) -> None:
    path = tmp_path / "ledger.duckdb"
    duckdb.connect(str(path)).close()
    holder = _started(f"import duckdb; c = duckdb.connect({str(path)!r}); print('open', flush=True); input()")
    assert holder.stdout
    assert holder.stdout.readline() == "open\n"
    taken = threading.Event()

    def take() -> None:
        with locked(path):
            taken.set()

    thread = threading.Thread(target=take)
    thread.start()
    assert not taken.is_set()
    holder.kill()
    holder.communicate()
    assert taken.wait(timeout=20)
    thread.join()


def test_rows_are_read_with_the_marker_out_of_the_clients_own_field(tmp_path: Path) -> None:
    path = tmp_path / "ledger.duckdb"
    with duckdb.connect(str(path)) as connection:
        connection.execute(
            "create table api_usage (client_metadata_user_id text, outcome text, request_id text)"
        )
        connection.execute("""insert into api_usage values
            ('{"session_id": "marker=00000000000000ff"}', 'ok', '1'), (null, 'interrupted', '2')""")
    assert marked_rows(path) == [MarkedRow("00000000000000ff", "ok", "1"), MarkedRow("", "interrupted", "2")]


def _started(script: str) -> subprocess.Popen[str]:
    pipe = subprocess.PIPE
    return subprocess.Popen([sys.executable, "-c", script], stdin=pipe, stdout=pipe, stderr=pipe, text=True)


def _python(script: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
