from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from byline.flags import atomic_file, disk
from byline.flags.disk import DiskSnapshot, snapshot_key
from byline.flags.snapshot import Evaluated, Snapshot


def snapshot(value: Any, fetched_at: float = 1000.0) -> Snapshot:
    return Snapshot(fetched_at, {"a": Evaluated(value, "SPLIT", "v1", "rule")})


def test_what_was_saved_is_loaded_with_its_reasons(tmp_path):
    DiskSnapshot(tmp_path / "new", "k").save(snapshot({"deep": [1, None, 0.5]}))
    assert DiskSnapshot(tmp_path / "new", "k").load() == snapshot({"deep": [1, None, 0.5]})


def test_nobody_else_may_read_the_file(tmp_path):
    store = DiskSnapshot(tmp_path / "new", "k")
    store.save(snapshot(1))
    assert (store.path.stat().st_mode & 0o777, store.path.parent.stat().st_mode & 0o777) == (0o600, 0o700)


def test_each_client_key_source_and_set_of_attributes_has_a_snapshot_of_its_own():
    keys = {
        snapshot_key("s", "k", {"id": "1"}),
        snapshot_key("s", "k", {"id": "2"}),
        snapshot_key("s", "l", {"id": "1"}),
        snapshot_key("t", "k", {"id": "1"}),
    }
    assert len(keys) == 4
    assert snapshot_key("s", "k", {"a": 1, "b": 2}) == snapshot_key("s", "k", {"b": 2, "a": 1})


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b'{"schema":1,"key":"k"}', b'{"schema":1,"key":"k","snapshot":{"fetched_at":1,"features":{"a":1}}}', b"\xff" * 100],
)  # fmt: skip
def test_a_damaged_file_is_as_good_as_none_and_is_replaced(tmp_path, content):
    store = DiskSnapshot(tmp_path, "k")
    store.path.write_bytes(content)
    assert store.load() is None
    assert store.problem == "is damaged"
    store.save(snapshot(2))
    assert DiskSnapshot(tmp_path, "k").load() == snapshot(2)


def test_every_truncation_of_a_file_is_refused(tmp_path):
    store = DiskSnapshot(tmp_path, "k")
    store.save(snapshot("text"))
    whole = store.path.read_bytes()
    for length in range(len(whole)):
        store.path.write_bytes(whole[:length])
        assert DiskSnapshot(tmp_path, "k").load() is None


def test_another_keys_file_is_not_read(tmp_path):
    DiskSnapshot(tmp_path, "k").save(snapshot(1))
    other = DiskSnapshot(tmp_path, "other")
    DiskSnapshot(tmp_path, "k").path.rename(other.path)
    assert other.load() is None


def test_a_directory_that_cant_be_written_is_a_problem_and_no_exception(tmp_path):
    (tmp_path / "file").write_text("")
    store = DiskSnapshot(tmp_path / "file" / "below", "k")
    store.save(snapshot(1))
    assert store.problem is not None
    assert store.load() is None


def test_a_failed_write_leaves_the_old_snapshot_and_nothing_else(tmp_path, monkeypatch):
    DiskSnapshot(tmp_path, "k").save(snapshot("old"))

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    DiskSnapshot(tmp_path, "k").save(snapshot("new"))
    monkeypatch.undo()
    assert DiskSnapshot(tmp_path, "k").load() == snapshot("old")
    assert len(list(tmp_path.iterdir())) == 1


def test_an_unchanged_snapshot_is_written_again_only_after_an_hour(tmp_path):
    now = [1000.0]
    store = DiskSnapshot(tmp_path, "k", lambda: now[0])
    store.save(snapshot(1))
    first = store.path.stat().st_ino
    now[0] += 3599
    store.save(snapshot(1, now[0]))
    assert store.path.stat().st_ino == first
    now[0] += 1
    store.save(snapshot(1, now[0]))
    loaded = store.load()
    assert loaded is not None
    assert loaded.fetched_at == now[0]


def test_what_killed_writers_left_is_removed_once_it_is_old(tmp_path):
    store = DiskSnapshot(tmp_path, "k")
    old, young = (tmp_path / f"{store.path.name}.{number}.0.tmp" for number in (1, 2))
    old.write_bytes(b"")
    young.write_bytes(b"")
    os.utime(old, (1, 1))
    store.save(snapshot(1))
    assert sorted(tmp_path.iterdir()) == sorted([store.path, young])


def _save_until_line(store: DiskSnapshot, number: int) -> None:
    """In a child: kills it for good before the line of that number in the code that writes."""
    files, left = {atomic_file.__file__, disk.__file__}, number

    def trace(frame: FrameType, event: str, _argument: object):
        nonlocal left
        if frame.f_code.co_filename not in files:
            return None
        if event == "line":
            left -= 1
            if left < 0:
                os.kill(os.getpid(), signal.SIGKILL)
        return trace

    sys.settrace(trace)
    store.save(snapshot("new"))


def test_a_kill_between_any_two_steps_of_a_write_leaves_the_old_snapshot_or_the_new(tmp_path):
    outcomes: list[str] = []
    for number in range(1000):
        directory = Path(tmp_path / str(number))
        DiskSnapshot(directory, "k").save(snapshot("old"))
        child = os.fork()
        if child == 0:
            _save_until_line(DiskSnapshot(directory, "k"), number)
            os._exit(0)
        status = os.waitpid(child, 0)[1]
        loaded = DiskSnapshot(directory, "k").load()
        assert loaded is not None, f"neither after line {number}"
        outcomes.append(loaded.features["a"].value)
        DiskSnapshot(directory, "k").save(snapshot("next"))
        assert DiskSnapshot(directory, "k").load() == snapshot("next")
        if os.WIFEXITED(status):
            break
    assert len(outcomes) > 15
    switch = outcomes.index("new")
    assert outcomes == ["old"] * switch + ["new"] * (len(outcomes) - switch)


def test_many_processes_write_at_once_and_whoever_reads_finds_a_whole_one(tmp_path):
    children = []
    for number in range(4):
        child = os.fork()
        if child == 0:
            for turn in range(50):
                DiskSnapshot(tmp_path, "k").save(snapshot([number, turn] * 500))
            os._exit(0)
        children.append(child)
    seen = 0
    while children:
        loaded = DiskSnapshot(tmp_path, "k").load()
        if loaded is not None:
            seen += 1
            assert len(set(map(str, loaded.features["a"].value))) <= 51
        assert DiskSnapshot(tmp_path, "k").problem is None
        children = [child for child in children if os.waitpid(child, os.WNOHANG)[0] == 0]
    assert seen
    assert len(list(tmp_path.iterdir())) == 1
