from __future__ import annotations

from pathlib import Path

import pytest

from byline.usage.journal import Event, Unreadable, read_entries
from byline.usage.journal.reading import read_line, tail

FIRST = b'{"entry":"event","event_id":"1"}\n'
SECOND = b'{"entry":"event","event_id":"2"}\n'


def write(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def test_entries_come_with_the_bytes_they_take(tmp_path: Path) -> None:
    path = write(tmp_path / "s", FIRST + SECOND)
    assert [(located.begin, located.end) for located in read_entries(path)] == [
        (0, len(FIRST)),
        (len(FIRST), len(FIRST) + len(SECOND)),
    ]


def test_reading_goes_on_where_it_was_left(tmp_path: Path) -> None:
    path = write(tmp_path / "s", FIRST + SECOND)
    assert [located.entry for located in read_entries(path, len(FIRST))] == [Event({"event_id": "2"})]


def test_an_unfinished_last_line_is_no_entry_yet(tmp_path: Path) -> None:
    path = write(tmp_path / "s", FIRST + SECOND[:-1])
    assert [located.entry for located in read_entries(path)] == [Event({"event_id": "1"})]
    assert tail(path, len(FIRST)) == SECOND[:-1]


def test_a_damaged_line_does_not_hide_the_ones_behind_it(tmp_path: Path) -> None:
    path = write(tmp_path / "s", FIRST + b'{"entry":"ev\0\n' + SECOND)
    first, damaged, second = (located.entry for located in read_entries(path))
    assert isinstance(damaged, Unreadable)
    assert (first, second) == (Event({"event_id": "1"}), Event({"event_id": "2"}))


def test_blank_lines_are_passed_over(tmp_path: Path) -> None:
    path = write(tmp_path / "s", b"\n" + FIRST + b"\n\n" + SECOND)
    assert len(list(read_entries(path))) == 2


@pytest.mark.parametrize("size", [1, 7, 33, 64])
def test_lines_longer_than_a_read_come_out_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    monkeypatch.setattr("byline.usage.journal.reading._CHUNK_BYTES", size)
    path = write(tmp_path / "s", FIRST + SECOND + b"torn")
    assert [located.entry for located in read_entries(path)] == [
        Event({"event_id": "1"}),
        Event({"event_id": "2"}),
    ]
    assert tail(path, 0) == b"torn"
    assert read_line(path, len(FIRST)) == SECOND[:-1]


def test_there_is_no_tail_behind_a_whole_line(tmp_path: Path) -> None:
    assert tail(write(tmp_path / "s", FIRST), 0) == b""
