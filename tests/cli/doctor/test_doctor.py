"""`byline doctor` names what is wrong, says the remedy, gives nothing away and changes nothing."""

from __future__ import annotations

import json
import os
import resource
import shutil
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import msgspec
import pytest
from typer.testing import CliRunner

from byline.assembly.ledger import open_ledger
from byline.assembly.worker_status import WorkerStatus
from byline.cli.app import app
from byline.control.database import open_control
from byline.control.keys import create_key
from byline.settings import load
from byline.testing import SimulatedProvider
from byline.usage.data_lock import DataLock
from byline.usage.journal import JournalCounters

SECRET = "sk-ant-right"
Rows = list[dict[str, str]]


class Doctor:
    """A settings file on a simulated provider, and what doctor says about it."""

    def __init__(self, directory: Path, provider: SimulatedProvider, environ: pytest.MonkeyPatch) -> None:
        self.file = directory / "byline.toml"
        self.data_dir = directory / "state"
        self.provider = provider
        self.environ = environ
        self.exit_code = 0

    def __call__(self, settings: str = "") -> Rows:
        base_urls = "".join(
            f"[providers.{name}]\nbase_url = '{self.provider.base_url}'\n" for name in ("anthropic", "openai")
        )
        self.file.write_text(f"data_dir = 'state'\n{base_urls}{settings}")
        result = CliRunner().invoke(app, ["doctor", "--config", str(self.file), "--format", "json"])
        assert SECRET not in result.output
        self.exit_code = result.exit_code
        return json.loads(result.stdout)


@pytest.fixture
def doctor(tmp_path, monkeypatch) -> Iterator[Doctor]:
    monkeypatch.setenv("ANTHROPIC_API_KEY", SECRET)
    monkeypatch.setenv("OPENAI_API_KEY", SECRET)
    with SimulatedProvider(api_keys=[SECRET]) as provider:
        yield Doctor(tmp_path, provider, monkeypatch)


def told(rows: Rows, check: str, state: str) -> str:
    """Detail and remedy of the one finding on `check`, which has that state."""
    (row,) = (row for row in rows if row["check"] == check and row["state"] == state)
    return f"{row['detail']} | {row['remedy']}"


def test_a_good_installation_has_no_complaint(doctor):
    with open_control(doctor.data_dir / "control.sqlite3") as control:
        create_key(control, "ana")
    rows = doctor()
    assert {row["state"] for row in rows} == {"ok"}
    assert doctor.exit_code == 0
    assert "1 active" in told(rows, "keys", "ok")
    assert "answered 200" in told(rows, "provider anthropic", "ok")
    assert "answered 200" in told(rows, "provider openai", "ok")


def test_only_the_list_of_models_is_asked_for(doctor):
    doctor()
    assert {(seen.method, seen.target) for seen in doctor.provider.requests} == {("GET", "/v1/models")}


def test_nothing_is_made_before_the_first_start(doctor):
    rows = doctor()
    assert "made at the first start" in told(rows, "data_dir", "ok")
    assert not doctor.data_dir.exists()


def test_settings_that_cannot_be_used_end_the_examination(doctor):
    rows = doctor("[gateway]\nprot = 1\n")
    assert "gateway.prot is not a setting; did you mean gateway.port?" in told(rows, "settings", "failed")
    assert doctor.exit_code == 1
    assert len(rows) == 1


def test_a_policy_that_can_never_fit_is_told_with_the_line_to_write(doctor):
    rows = doctor("[identity.anthropic]\nidentifier = 'email'\n")
    assert 'identifier = "hash"' in told(rows, "providers", "failed")


def test_lines_to_write_stand_on_lines_of_their_own_in_the_table(doctor):
    doctor("[identity.anthropic]\nidentifier = 'email'\n")
    shown = CliRunner().invoke(app, ["doctor", "--config", str(doctor.file)]).stdout
    assert "\ufffd" not in shown
    assert 'identifier = "hash"' in [line.strip() for line in shown.splitlines()]


def test_a_variable_that_nobody_reads_is_pointed_out(doctor):
    doctor.environ.setenv("BYLINE_GATEWAY_PORT", "1")
    assert "did you mean BYLINE_GATEWAY__PORT?" in told(doctor(), "settings", "warning")


def test_a_missing_provider_key_is_a_warning_that_names_the_variable(doctor):
    doctor.environ.delenv("ANTHROPIC_API_KEY")
    said = told(doctor(), "provider anthropic", "warning")
    assert "ANTHROPIC_API_KEY is not set in this shell; a running server may have it" in said
    assert "set ANTHROPIC_API_KEY where `byline serve` starts" in said
    assert doctor.exit_code == 0


def test_a_refused_provider_key_fails(doctor):
    doctor.environ.setenv("ANTHROPIC_API_KEY", "sk-ant-wrong")
    rows = doctor()
    assert "the key was refused" in told(rows, "provider anthropic", "failed")
    assert "sk-ant-wrong" not in json.dumps(rows)
    assert doctor.exit_code == 1


def test_each_credential_is_tried(doctor):
    doctor.environ.setenv("EVAL_KEY", "sk-ant-wrong")
    rows = doctor(
        "[providers.openai.credentials.eval]\napi_key_env = 'EVAL_KEY'\nteams = ['eval', 'research']\n"
    )
    assert told(rows, "provider openai", "ok")
    assert "was refused" in told(rows, "provider openai, key eval", "failed")


def test_an_unreachable_provider_fails_with_the_reason(doctor):
    with socket.socket() as unlistened:
        unlistened.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unlistened.getsockname()[1]}"
        rows = doctor(f"[providers.gone]\nbase_url = '{url}'\nkind = 'openai'\n")
    assert "no connection to 127.0.0.1" in told(rows, "provider gone", "failed")


def test_no_active_key_is_a_warning_with_the_command_to_make_one(doctor):
    open_control(doctor.data_dir / "control.sqlite3").close()
    assert "byline keys create --user NAME" in told(doctor(), "keys", "warning")


def test_a_damaged_control_database_fails(doctor):
    doctor.data_dir.mkdir()
    (doctor.data_dir / "control.sqlite3").write_bytes(b"not a database, certainly not" * 200)
    assert "Restore it from a backup" in told(doctor(), "keys", "failed")


def test_a_data_dir_that_is_a_file_fails(doctor):
    doctor.data_dir.write_text("")
    assert "is no directory" in told(doctor(), "data_dir", "failed")


@pytest.mark.parametrize(("free", "state"), [(10 * 1024**3, "ok"), (1024**3, "warning"), (1024**2, "failed")])
def test_room_on_the_disk_is_held_against_the_journals_budget(doctor, monkeypatch, free, state):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=free))
    assert told(doctor(), "data_dir", state)


def test_a_fresh_ledger_is_no_fault(doctor):
    assert "made when the first row comes" in told(doctor(), "ledger", "ok")


def test_a_ledger_that_opens_is_counted_and_left_free(doctor):
    settings = load(None, {"BYLINE_DATA_DIR": str(doctor.data_dir)})
    open_ledger(settings).close()
    assert "the store opens: 0 rows" in told(doctor(), "ledger", "ok")
    open_ledger(settings, wait_s=0).close()


def test_a_ledger_that_another_process_holds_is_named(doctor):
    settings = load(None, {"BYLINE_DATA_DIR": str(doctor.data_dir)})
    open_ledger(settings).close()
    lock = DataLock(doctor.data_dir / "lock", "an upgrade")
    assert "is in use by an upgrade" in told(doctor(), "ledger", "failed")
    lock.close()


def test_a_directory_whose_lock_cannot_be_opened_fails(doctor):
    settings = load(None, {"BYLINE_DATA_DIR": str(doctor.data_dir)})
    open_ledger(settings).close()
    (doctor.data_dir / "lock").unlink()
    (doctor.data_dir / "lock").mkdir()
    assert "lock: Is a directory" in told(doctor(), "ledger", "failed")


@pytest.mark.parametrize(
    ("own", "state", "detail"),
    [
        ('[models."anthropic/claude-x"]\ninput_per_mtok = 3\n', "ok", "own.toml"),
        ("[models.foo]\ninput_per_mtok = 3\n", "failed", "write the provider before the model"),
        (None, "failed", "own.toml: can't be read"),
    ],
)
def test_own_prices_that_cannot_be_used_fail_as_they_do_at_the_start(doctor, own, state, detail):
    if own is not None:
        (doctor.file.parent / "own.toml").write_text(own)
    assert detail in told(doctor('[prices]\noverrides_file = "own.toml"\n'), "prices", state)


def test_a_journal_that_nobody_drains_is_a_warning(doctor):
    journal = doctor.data_dir / "journal"
    journal.mkdir(parents=True)
    segment = journal / "worker0-00000001.ndjson"
    segment.write_bytes(b"{}\n" * 1000)
    assert "2.9 KiB wait" in told(doctor(), "journal", "ok")
    os.utime(segment, (0, 0))
    assert "the oldest for" in told(doctor(), "journal", "warning")


def test_what_the_journal_set_aside_is_told(doctor):
    torn = doctor.data_dir / "journal" / "torn"
    torn.mkdir(parents=True)
    (torn / "worker0-00000001.ndjson").write_bytes(b"{half")
    assert f"{torn} (1 files)" in told(doctor(), "journal", "warning")


@pytest.fixture
def leave_status(doctor: Doctor) -> Iterator[Callable[..., DataLock]]:
    """Leaves a worker's last words, and the lock of the server it belongs to."""
    locks: list[DataLock] = []

    def leave(*, written_at: float, lost: int = 0, trouble: str | None = None) -> DataLock:
        status = WorkerStatus(
            pid=1,
            written_at=written_at,
            journal=JournalCounters(lost_entries=lost),
            journal_trouble=trouble,
            keys_trouble=None,
            draining_streams=0,
            counts={},
        )
        directory = doctor.data_dir / "status"
        directory.mkdir(parents=True)
        (directory / "worker0.json").write_bytes(msgspec.json.encode(status))
        locks.append(DataLock(doctor.data_dir / "lock", "byline serve"))
        return locks[-1]

    yield leave
    for lock in locks:
        lock.close()


FAR_FUTURE = 1e11
"""A status this young is a running worker's, whatever the clock says."""


def test_a_worker_that_lost_entries_fails(doctor, leave_status):
    leave_status(written_at=FAR_FUTURE, lost=3)
    assert "3 journal entries could not be kept" in told(doctor(), "worker 1", "failed")


def test_a_worker_that_cannot_write_fails(doctor, leave_status):
    leave_status(written_at=FAR_FUTURE, trouble="disk full")
    assert "disk full" in told(doctor(), "worker 1", "failed")


def test_a_worker_of_yesterday_says_nothing(doctor, leave_status):
    leave_status(written_at=0.0, lost=3)
    assert not [row for row in doctor() if row["check"].startswith("worker")]


def test_a_worker_says_nothing_once_its_server_has_ended(doctor, leave_status):
    server = leave_status(written_at=FAR_FUTURE, lost=3)
    assert [row for row in doctor() if row["check"].startswith("worker")]
    server.close()
    assert not [row for row in doctor() if row["check"].startswith("worker")]


def test_a_limit_of_open_files_that_does_not_carry_the_connections_is_a_warning(doctor):
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    detail = told(doctor(f"[gateway]\nmax_connections = {hard}\n"), "open files", "warning")
    assert f"which carries {(hard - 128) // 2:,} connections per worker" in detail
    assert f"gateway.max_connections = {hard:,}" in detail
    assert "LimitNOFILE=" in detail
    assert "50 connections" in told(doctor("[gateway]\nmax_connections = 50\n"), "open files", "ok")
