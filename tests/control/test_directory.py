"""What a worker knows of keys, actors and jobs: soon right, and never in the way of serving."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
import threading

import pytest

from byline.control.database import open_control
from byline.control.directory import KeyDirectory
from byline.control.jobs import set_job
from byline.control.keys import create_key, list_keys, revoke_key, rotate_key

MAX_STALE_S = 300.0

WATCHER = """
import sys
from pathlib import Path
from byline.control.directory import KeyDirectory
directory = KeyDirectory(Path(sys.argv[1]), max_stale_s=300)
for line in sys.stdin:
    directory.refresh_if_changed()
    username, key_id = line.split()
    key = directory.lookup(key_id)
    state = "unknown" if key is None else "active" if key.revoked_at is None else "revoked"
    print(directory.actor_by_username(username) is not None, state, flush=True)
"""


@pytest.fixture
def directory(path, clock):
    directory = KeyDirectory(path, max_stale_s=MAX_STALE_S, clock=clock)
    yield directory
    directory.close()


def test_it_knows_keys_actors_and_jobs_after_the_first_look(database, directory):
    new = create_key(database, "alice", email="a@example.com", job="nightly", may_claim_user=True)
    set_job(database, "nightly-*", owner="alice")
    assert directory.refresh_if_changed()
    stored = directory.lookup(new.info.key_id)
    assert stored.grant.actor == new.info.actor
    assert (stored.grant.auth_source, stored.grant.key_id) == ("key", new.info.key_id)
    assert (stored.grant.bound_job, stored.grant.may_claim_job, stored.grant.may_claim_user) == (
        "nightly",
        True,
        True,
    )
    assert directory.actor_by_username("alice") == new.info.actor
    assert directory.job("nightly-7").owner == new.info.actor
    assert directory.lookup("unknown") is None
    assert directory.problem is None


def test_it_sees_each_kind_of_change_and_nothing_where_nothing_changed(database, directory):
    first = create_key(database, "alice").info
    directory.refresh_if_changed()
    assert not directory.refresh_if_changed()
    second = create_key(database, "bob").info
    assert directory.refresh_if_changed()
    assert directory.lookup(first.key_id) is not None
    assert directory.lookup(second.key_id) is not None
    revoke_key(database, first.key_id)
    assert directory.refresh_if_changed()
    assert directory.lookup(first.key_id).revoked_at is not None
    assert directory.lookup(second.key_id).revoked_at is None
    successor = rotate_key(database, second.key_id).info
    assert directory.refresh_if_changed()
    assert directory.lookup(successor.key_id).revoked_at is None
    set_job(database, "nightly", owner="carol")
    assert directory.refresh_if_changed()
    assert directory.job("nightly").owner.username == "carol"


def test_an_actor_changed_by_a_later_key_is_changed_on_the_earlier_key_and_the_job(database, directory):
    first = create_key(database, "alice", team="old").info
    set_job(database, "nightly", owner="alice")
    directory.refresh_if_changed()
    create_key(database, "alice", team="new")
    assert directory.refresh_if_changed()
    assert directory.lookup(first.key_id).grant.actor.team == "new"
    assert directory.actor_by_username("alice").team == "new"
    assert directory.job("nightly").owner.team == "new"


def test_a_snapshot_in_steps_equals_one_read_at_once(database, directory, path):
    key_ids = []
    for number in range(30):
        new = create_key(database, f"user{number % 7}", team=f"team{number % 4}")
        key_ids.append(new.info.key_id)
        if number % 5 == 0:
            revoke_key(database, key_ids[number // 2])
        if number % 3 == 0:
            set_job(database, f"job{number % 4}", owner=f"user{number % 5}")
        directory.refresh_if_changed()
    at_once = KeyDirectory(path, max_stale_s=MAX_STALE_S)
    at_once.refresh_if_changed()
    for key_id in key_ids:
        assert directory.lookup(key_id) == at_once.lookup(key_id)
    for number in range(7):
        assert directory.actor_by_username(f"user{number}") == at_once.actor_by_username(f"user{number}")
    for number in range(4):
        assert directory.job(f"job{number}") == at_once.job(f"job{number}")
    at_once.close()


def test_a_note_of_last_use_is_written_later_and_reloads_nothing(database, directory):
    key_id = create_key(database, "alice").info.key_id
    directory.refresh_if_changed()
    directory.record_use(key_id, 1000.0)
    directory.record_use(key_id, 1001.0)
    assert list_keys(database)[0].last_used_at is None
    assert directory.flush_uses() == 1
    assert directory.flush_uses() == 0
    assert list_keys(database)[0].last_used_at == 1001.0
    assert not directory.refresh_if_changed()


def last_use(database, key_id):
    return next(info.last_used_at for info in list_keys(database) if info.key_id == key_id)


def test_what_was_concluded_holds_until_something_changes_or_all_is_stale_and_only_then_is_a_use_noted(
    database, directory, clock
):
    key_id = create_key(database, "alice").info.key_id
    directory.refresh_if_changed()
    concluded_in = directory.generation
    assert directory.use(key_id, concluded_in, 1000.0)
    assert directory.flush_uses() == 1
    assert last_use(database, key_id) == 1000.0
    create_key(database, "bob")
    directory.refresh_if_changed()
    assert not directory.use(key_id, concluded_in, 1001.0)
    clock.at += MAX_STALE_S
    assert directory.use(key_id, directory.generation, 1002.0)
    clock.at += 1
    assert not directory.use(key_id, directory.generation, 1003.0)
    assert directory.flush_uses() == 1
    assert last_use(database, key_id) == 1002.0


def test_notes_that_could_not_be_written_are_kept_and_later_ones_win(database, directory, path):
    key_id = create_key(database, "alice").info.key_id
    directory.refresh_if_changed()
    directory.record_use(key_id, 1000.0)
    away = path.with_suffix(".away")
    path.rename(away)
    assert directory.flush_uses() == 0
    assert not path.exists(), "a missing database is not made anew by a note of use"
    directory.record_use(key_id, 1001.0)
    away.rename(path)
    assert directory.flush_uses() == 1
    assert list_keys(database)[0].last_used_at == 1001.0


def test_uses_may_be_recorded_while_others_are_written(database, directory):
    key_ids = [create_key(database, f"user{number}").info.key_id for number in range(50)]
    stop = threading.Event()
    written = []

    def flush() -> None:
        while not stop.is_set():
            written.append(directory.flush_uses())

    thread = threading.Thread(target=flush)
    thread.start()
    for at in range(200):
        for key_id in key_ids:
            directory.record_use(key_id, float(at))
    stop.set()
    thread.join()
    directory.flush_uses()
    assert {info.last_used_at for info in list_keys(database)} == {199.0}


def test_without_a_database_it_is_stale_from_the_start_and_says_why(directory):
    assert not directory.refresh_if_changed()
    assert directory.is_stale()
    assert (
        directory.problem == "the control database control.sqlite3 can't be read (No such file or directory)"
    )


def damage_missing(path):
    path.unlink()


def damage_garbage(path):
    # In place, as a failing disk does it: same inode, other bytes.
    with path.open("r+b") as file:
        file.write(os.urandom(path.stat().st_size))
    for companion in (f"{path}-wal", f"{path}-shm"):
        if os.path.exists(companion):
            os.unlink(companion)


def damage_replaced_by_text(path):
    path.unlink()
    path.write_text("this is no database" * 1000)


def damage_replaced_by_empty(path):
    path.unlink()
    path.touch()


def damage_foreign_database(path):
    path.unlink()
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE meta (name TEXT, value)")
    connection.close()


def damage_directory(path):
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize(
    "damage",
    [damage_missing, damage_garbage, damage_replaced_by_text, damage_replaced_by_empty, damage_foreign_database,
     damage_directory],
)  # fmt: skip
def test_with_a_broken_database_known_keys_serve_until_they_are_stale_and_recover_after(path, clock, damage):
    with open_control(path) as database:
        key_id = create_key(database, "alice").info.key_id
    good = path.read_bytes()
    directory = KeyDirectory(path, max_stale_s=MAX_STALE_S, clock=clock)
    directory.refresh_if_changed()
    damage(path)
    clock.at += MAX_STALE_S
    directory.close()  # what SQLite has read it may go on answering from memory
    assert not directory.refresh_if_changed()
    assert directory.problem is not None
    assert not directory.is_stale()
    assert directory.lookup(key_id) is not None
    clock.at += 1
    assert directory.is_stale()
    if path.is_dir():
        path.rmdir()
    path.write_bytes(good)
    directory.refresh_if_changed()
    assert not directory.is_stale()
    assert directory.problem is None
    assert directory.lookup(key_id) is not None
    directory.close()


def test_a_deleted_file_is_noticed_although_it_is_still_open(path, database, directory):
    create_key(database, "alice")
    directory.refresh_if_changed()
    path.unlink()
    assert not directory.refresh_if_changed()
    assert "No such file" in directory.problem


def test_a_restored_file_is_read_whole_and_forgets_later_keys(path, clock, tmp_path):
    with open_control(path) as database:
        old = create_key(database, "alice").info.key_id
    backup = tmp_path / "backup.sqlite3"
    shutil.copy(path, backup)
    with open_control(path) as database:
        new = create_key(database, "bob").info.key_id
    directory = KeyDirectory(path, max_stale_s=MAX_STALE_S, clock=clock)
    directory.refresh_if_changed()
    assert directory.lookup(new) is not None
    backup.replace(path)
    assert directory.refresh_if_changed()
    assert directory.lookup(old) is not None
    assert directory.lookup(new) is None
    directory.close()


def test_a_writer_in_the_middle_of_a_change_delays_nothing_and_shows_nothing(path, database, directory):
    directory.refresh_if_changed()
    with database.change() as change:
        change.connection.execute("INSERT INTO actors VALUES ('usr_x', 'eve', NULL, NULL, 'person', 0, 0, 1)")
        assert not directory.refresh_if_changed()
        assert directory.problem is None
        assert directory.actor_by_username("eve") is None
    assert directory.refresh_if_changed()
    assert directory.actor_by_username("eve") is not None


def test_an_exclusively_locked_database_is_survived(path, clock):
    with open_control(path) as database:
        key_id = create_key(database, "alice").info.key_id
    directory = KeyDirectory(path, max_stale_s=MAX_STALE_S, clock=clock)
    directory.refresh_if_changed()
    directory.close()
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("PRAGMA locking_mode = EXCLUSIVE")
    holder.execute("BEGIN EXCLUSIVE")
    assert not directory.refresh_if_changed()
    assert "locked" in directory.problem
    assert directory.lookup(key_id) is not None
    holder.close()
    directory.refresh_if_changed()
    assert directory.problem is None
    directory.close()


def test_it_keeps_no_secret_and_shows_no_hash(database, directory):
    new = create_key(database, "alice")
    directory.refresh_if_changed()
    stored = directory.lookup(new.info.key_id)
    assert new.text[-43:] not in repr(stored)
    assert repr(stored.secret_hash) not in repr(stored)


def test_every_process_sees_a_change_at_its_first_look_after_it(path, database):
    watchers = [
        subprocess.Popen(
            [sys.executable, "-c", WATCHER, str(path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]

    def look(username: str, key_id: str) -> set[str]:
        answers = set()
        for watcher in watchers:
            watcher.stdin.write(f"{username} {key_id}\n")
            watcher.stdin.flush()
            answers.add(watcher.stdout.readline().strip())
        return answers

    try:
        assert look("alice", "none") == {"False unknown"}
        key_id = create_key(database, "alice").info.key_id
        assert look("alice", key_id) == {"True active"}
        assert look("bob", key_id) == {"False active"}
        revoke_key(database, key_id)
        assert look("bob", key_id) == {"False revoked"}
        create_key(database, "bob")
        assert look("bob", key_id) == {"True revoked"}
    finally:
        for watcher in watchers:
            watcher.kill()
            watcher.communicate()
