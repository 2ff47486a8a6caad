"""The control database file: private, versioned, counted, and clear about what is wrong with it."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys

import pytest

from byline.control.database import ControlDatabaseError, open_control
from byline.control.schema import STEPS

OPEN_MANY_TIMES = """
import sys
from pathlib import Path
from byline.control.database import open_control
from byline.control.keys import create_key
sys.stdin.readline()
for number in range(20):
    with open_control(Path(sys.argv[1])) as database:
        create_key(database, f"{sys.argv[2]}-{number}")
"""


def test_the_file_and_its_companions_are_readable_by_their_owner_alone(path, database):
    with database.change():
        pass
    modes = {entry.name: entry.stat().st_mode & 0o777 for entry in os.scandir(path.parent)}
    assert modes.pop(path.name) == 0o600
    assert set(modes.values()) == {0o600}, modes
    assert path.parent.stat().st_mode & 0o777 == 0o700


def test_a_change_raises_the_counter_with_its_rows_or_not_at_all(database):
    before = database.change_counter()
    with database.change() as change:
        assert change.number == before + 1
    with pytest.raises(RuntimeError), database.change():
        raise RuntimeError
    assert database.change_counter() == before + 1


def test_opening_again_keeps_what_is_there(path, database):
    with database.change():
        pass
    with open_control(path) as again:
        assert again.change_counter() == database.change_counter() == 1


def test_the_identity_hash_key_is_made_once_and_has_256_bits(path, database):
    key = database.identity_hash_key()
    assert len(key) == 32
    with open_control(path) as again:
        assert again.identity_hash_key() == key


def test_two_databases_have_different_hash_keys(tmp_path, database):
    with open_control(tmp_path / "other.sqlite3") as other:
        assert other.identity_hash_key() != database.identity_hash_key()


def test_processes_may_create_and_change_one_database_at_the_same_time(path):
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", OPEN_MANY_TIMES, str(path), name],
            stdin=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for name in ("a", "b", "c")
    ]
    errors = [process.communicate("\n", timeout=60)[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0], errors
    with open_control(path) as database:
        assert database.rows("SELECT count(*) FROM keys") == [(60,)]
        assert database.change_counter() == 60


def test_a_file_that_is_no_database_is_named_with_a_remedy(tmp_path):
    broken = tmp_path / "control.sqlite3"
    broken.write_bytes(b"not a database, but long enough to be looked at" * 100)
    with pytest.raises(
        ControlDatabaseError, match=r"control\.sqlite3 is damaged .* Restore it from a backup"
    ):
        open_control(broken)


def test_a_truncated_database_is_an_error_not_a_new_one(path, database):
    database.close()
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(ControlDatabaseError, match=r"damaged|can't be used"), open_control(path) as again:
        again.rows("SELECT * FROM keys")


def test_a_directory_in_the_way_is_named(tmp_path):
    with pytest.raises(ControlDatabaseError, match=r"can't be opened: Is a directory\. Check `data_dir`"):
        open_control(tmp_path)


def test_a_locked_database_says_so_after_the_busy_timeout(path, database):
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    with open_control(path, busy_timeout_s=0) as other:
        with pytest.raises(ControlDatabaseError, match="locked by another process"), other.change():
            pass
        holder.execute("ROLLBACK")
        with other.change():
            pass
    holder.close()


def test_a_database_of_a_newer_version_is_left_alone(path, database):
    with database.change() as change:
        change.connection.execute(
            "UPDATE meta SET value = ? WHERE name = 'schema_version'", (len(STEPS) + 1,)
        )
    with pytest.raises(ControlDatabaseError, match=r"newer Byline\. Upgrade"):
        open_control(path)


def test_a_first_start_that_was_cut_short_is_completed(path):
    path.parent.mkdir()
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE meta (name TEXT PRIMARY KEY, value) WITHOUT ROWID")
    connection.close()
    with open_control(path) as database:
        assert database.rows("SELECT * FROM keys") == []


def test_a_change_that_does_not_fit_on_the_disk_is_undone_and_named(path, database):
    database.rows("PRAGMA max_page_count = 20")
    with pytest.raises(ControlDatabaseError, match="database or disk is full"), database.change() as change:
        change.connection.execute("INSERT INTO meta VALUES ('filler', zeroblob(1000000))")
    with open_control(path) as again:
        assert again.change_counter() == 0
        assert again.rows("SELECT 1 FROM meta WHERE name = 'filler'") == []
    with database.change():
        pass
    assert database.change_counter() == 1
