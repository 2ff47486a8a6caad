from __future__ import annotations

import errno
import os
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from byline.usage.journal import End, Entry, JournalOptions, JournalWriter, Start, new_writer_id, read_entries
from byline.usage.journal.segments import is_held, list_segments, writer_is_dead
from byline.usage.record import UsageRecord

Make = Callable[..., UsageRecord]
OpenWriter = Callable[..., JournalWriter]


def entries(directory: Path) -> list[Entry]:
    return [
        located.entry
        for segments in list_segments(directory).values()
        for segment in segments
        for located in read_entries(segment.path)
    ]


def kinds(directory: Path) -> list[tuple[str, str]]:
    said: list[tuple[str, str]] = []
    for entry in entries(directory):
        if isinstance(entry, Start):
            said.append(("start", entry.request_id))
        elif isinstance(entry, End):
            said.append(("end", entry.record.request_id))
        else:
            said.append((type(entry).__name__.lower(), ""))
    return said


def nothing() -> None:
    pass


class Disk:
    """Stands between the writer and the kernel: lets through so many more bytes, then says `error`."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.room = sys.maxsize
        self.error = errno.ENOSPC
        self.writes: list[int] = []
        self._write = os.write
        monkeypatch.setattr("byline.usage.journal.output.os.write", self.write)

    def write(self, fd: int, data: bytes | bytearray | memoryview) -> int:
        if self.room <= 0:
            raise OSError(self.error, os.strerror(self.error))
        written = self._write(fd, data[: self.room])
        self.room -= written
        self.writes.append(written)
        return written


def refuse_truncation(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_fd: int, _size: int) -> None:
        raise OSError(errno.EIO, "I/O error")

    monkeypatch.setattr("byline.usage.journal.output.os.ftruncate", refuse)


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    return Disk(monkeypatch)


class TestWriting:
    def test_entries_of_one_turn_are_one_write_in_order(
        self, open_writer: OpenWriter, loop, disk: Disk, journal: Path, make_record: Make, ended: Make
    ) -> None:
        writer = open_writer()
        writer.append_start(make_record("a"), nothing)
        writer.append_end(ended("b"))
        writer.append_event({"event_id": "e"})
        writer.append_end(ended("a"))
        loop.turn()
        assert len(disk.writes) == 1
        assert kinds(journal) == [("start", "a"), ("end", "b"), ("event", ""), ("end", "a")]

    def test_a_request_is_sent_only_after_its_start_was_written(
        self, open_writer: OpenWriter, loop, journal: Path, make_record: Make
    ) -> None:
        writer = open_writer()
        seen: list[list[tuple[str, str]]] = []
        writer.append_start(make_record("a"), lambda: seen.append(kinds(journal)))
        assert seen == []
        loop.turn()
        assert seen == [[("start", "a")]]

    def test_a_failing_callback_does_not_hold_up_the_others(
        self, open_writer: OpenWriter, loop, make_record: Make, caplog: pytest.LogCaptureFixture
    ) -> None:
        writer = open_writer()
        ran: list[str] = []
        writer.append_start(make_record("a"), lambda: 1 / 0)
        writer.append_start(make_record("b"), lambda: ran.append("b"))
        loop.turn()
        assert ran == ["b"]
        assert "ZeroDivisionError" in caplog.text

    def test_a_callback_may_append(
        self, open_writer: OpenWriter, loop, journal: Path, make_record: Make, ended: Make
    ) -> None:
        writer = open_writer()
        writer.append_start(make_record("a"), lambda: writer.append_end(ended("a")))
        loop.turn()
        assert kinds(journal) == [("start", "a"), ("end", "a")]

    def test_short_writes_are_completed(
        self, open_writer: OpenWriter, loop, monkeypatch: pytest.MonkeyPatch, journal: Path, ended: Make
    ) -> None:
        write = os.write
        monkeypatch.setattr("byline.usage.journal.output.os.write", lambda fd, data: write(fd, data[:50]))
        writer = open_writer()
        for number in range(5):
            writer.append_end(ended(f"r{number}"))
        loop.turn()
        assert kinds(journal) == [("end", f"r{number}") for number in range(5)]
        assert writer.trouble() is None

    def test_close_writes_what_is_left_and_lets_go(
        self, open_writer: OpenWriter, journal: Path, ended: Make
    ) -> None:
        writer = open_writer()
        writer.append_end(ended("a"))
        (segment,) = list_segments(journal)["w"]
        assert is_held(segment)
        writer.close()
        assert not is_held(segment)
        assert writer_is_dead(segment)
        assert kinds(journal) == [("end", "a")]

    def test_a_writer_that_never_wrote_leaves_no_file(self, open_writer: OpenWriter, journal: Path) -> None:
        open_writer().close()
        assert list(journal.iterdir()) == []

    def test_what_comes_after_close_counts_as_lost(
        self, open_writer: OpenWriter, loop, ended: Make, make_record: Make
    ) -> None:
        writer = open_writer()
        writer.close()
        ran: list[str] = []
        writer.append_end(ended("a"))
        writer.append_start(make_record("b"), lambda: ran.append("b"))
        loop.turn()
        assert writer.counters().lost_entries == 2
        assert ran == ["b"]

    def test_two_writers_of_one_name_are_told_apart_at_once(self, open_writer: OpenWriter) -> None:
        open_writer("same")
        with pytest.raises(FileExistsError, match="unique"):
            open_writer("same")

    def test_a_directory_that_cannot_be_used_is_an_error_at_start(
        self, open_writer: OpenWriter, tmp_path: Path
    ) -> None:
        (tmp_path / "file").touch()
        with pytest.raises(OSError):
            open_writer(directory=tmp_path / "file")

    def test_an_event_needs_an_id(self, open_writer: OpenWriter) -> None:
        with pytest.raises(ValueError, match="event_id"):
            open_writer().append_event({"event_name": "x"})

    def test_a_row_without_json_form_is_counted_and_the_request_goes_on(
        self, open_writer: OpenWriter, loop, make_record: Make
    ) -> None:
        writer = open_writer()
        ran: list[str] = []
        writer.append_start(make_record("a", job=object()), lambda: ran.append("a"))
        loop.turn()
        assert ran == ["a"]
        assert writer.counters().lost_entries == 1

    def test_writer_names_sort_by_birth_and_differ(self) -> None:
        names = [new_writer_id("gw") for _ in range(50)]
        assert len(set(names)) == 50
        assert [name[:20] for name in names] == sorted(name[:20] for name in names)


class TestSyncing:
    def test_everything_is_synced_by_the_time_the_writer_is_closed(
        self, journal: Path, loop, ended: Make
    ) -> None:
        synced: list[int] = []
        writer = JournalWriter(
            journal,
            "w",
            call_soon=loop.call_soon,
            call_later=loop.call_later,
            fdatasync=lambda fd: synced.append(os.fstat(fd).st_size),
        )
        writer.append_end(ended("a"))
        writer.close()
        assert synced[-1] == sum(segment.path.stat().st_size for segment in list_segments(journal)["w"])

    def test_a_failed_sync_is_counted_and_a_new_segment_begun(self, journal: Path, loop, ended: Make) -> None:
        failures = iter([OSError(errno.EIO, "I/O error")])

        def fdatasync(fd: int) -> None:
            if os.fstat(fd).st_size and (error := next(failures, None)):
                raise error

        writer = JournalWriter(
            journal,
            "w",
            call_soon=loop.call_soon,
            call_later=loop.call_later,
            now=loop.now,
            fdatasync=fdatasync,
            options=JournalOptions(sync_interval_s=0),
        )
        writer.append_end(ended("a"))
        loop.turn()
        while not writer.counters().sync_failures:  # the syncing thread is a real one
            os.sched_yield()
        writer.append_end(ended("b"))
        loop.turn()
        assert writer.trouble() is not None
        loop.advance(1)
        assert writer.trouble() is None
        writer.close()
        assert kinds(journal) == [("end", "a"), ("end", "b")]
        assert len(list_segments(journal)["w"]) == 2


class TestRotation:
    def test_a_full_segment_is_followed_by_another(
        self, open_writer: OpenWriter, loop, journal: Path, ended: Make
    ) -> None:
        writer = open_writer(segment_bytes=1_000)
        for number in range(10):
            writer.append_end(ended(f"r{number}"))
            loop.turn()
        segments = list_segments(journal)["w"]
        assert len(segments) > 2
        assert [segment.sequence for segment in segments] == list(range(1, len(segments) + 1))
        assert all(segment.path.stat().st_size < 1_500 for segment in segments)
        assert kinds(journal) == [("end", f"r{number}") for number in range(10)]

    def test_an_old_segment_is_followed_by_another_once_it_has_entries(
        self, open_writer: OpenWriter, loop, journal: Path, ended: Make
    ) -> None:
        writer = open_writer(segment_age_s=60)
        loop.advance(600)
        assert len(list_segments(journal)["w"]) == 1
        writer.append_end(ended("a"))
        loop.turn()
        assert [segment.sequence for segment in list_segments(journal)["w"]] == [1, 2]

    def test_open_starts_are_logged_again_as_they_stand_then(
        self, open_writer: OpenWriter, loop, journal: Path, make_record: Make, ended: Make
    ) -> None:
        writer = open_writer(segment_bytes=1)
        stream = make_record("stream")
        writer.append_start(stream, nothing)
        loop.turn()
        stream.output_tokens = 5
        writer.append_end(ended("other"))
        loop.turn()
        writer.append_end(stream)
        loop.turn()
        assert kinds(journal) == [
            ("start", "stream"),
            ("start", "stream"),
            ("end", "other"),
            ("start", "stream"),
            ("end", "stream"),
        ]

    def test_a_segment_is_let_go_only_when_the_next_is_held(
        self, open_writer: OpenWriter, loop, journal: Path, ended: Make
    ) -> None:
        writer = open_writer(segment_bytes=1, sync_interval_s=0)
        for number in range(200):
            writer.append_end(ended(f"r{number}"))
            loop.turn()
            assert not writer_is_dead(list_segments(journal)["w"][-1])
        writer.close()
        assert writer_is_dead(list_segments(journal)["w"][-1])

    def test_the_writer_stays_in_its_segment_while_no_new_one_can_be_made(
        self, open_writer: OpenWriter, loop, journal: Path, ended: Make, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        writer = open_writer(segment_bytes=1)
        with monkeypatch.context() as patch:

            def no_file(_segment: object) -> int:
                raise OSError(errno.EMFILE, "Too many open files")

            patch.setattr("byline.usage.journal.output.create", no_file)
            for number in range(3):
                writer.append_end(ended(f"r{number}"))
                loop.turn()
        assert writer.trouble() is None
        assert len(list_segments(journal)["w"]) == 1
        loop.advance(1.5)
        writer.append_end(ended("r3"))
        loop.turn()
        assert len(list_segments(journal)["w"]) == 2
        assert kinds(journal) == [("end", f"r{number}") for number in range(4)]


class TestFailOpen:
    @pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO, errno.EFBIG])
    def test_requests_go_on_and_entries_wait_for_the_disk(
        self,
        open_writer: OpenWriter,
        loop,
        disk: Disk,
        journal: Path,
        make_record: Make,
        ended: Make,
        code: int,
    ) -> None:
        writer = open_writer()
        disk.room, disk.error = 0, code
        sent: list[str] = []
        writer.append_start(make_record("a"), lambda: sent.append("a"))
        loop.turn()
        assert sent == ["a"]
        assert writer.accepts()
        trouble = writer.trouble()
        assert trouble is not None
        assert trouble.reason == os.strerror(code)
        writer.append_start(make_record("b"), lambda: sent.append("b"))
        writer.append_end(ended("a"))
        loop.turn()
        assert sent == ["a", "b"]
        disk.room = sys.maxsize
        loop.advance(1)
        assert writer.trouble() is None
        writer.append_end(ended("b"))
        loop.turn()
        assert kinds(journal) == [("start", "a"), ("start", "b"), ("end", "a"), ("end", "b")]
        assert writer.counters().lost_entries == 0

    def test_a_torn_line_is_taken_back_and_written_whole_later(
        self, open_writer: OpenWriter, loop, disk: Disk, journal: Path, ended: Make
    ) -> None:
        writer = open_writer()
        writer.append_end(ended("a"))
        loop.turn()
        line = disk.writes[0]
        disk.room = line + line // 2
        writer.append_end(ended("b"))
        writer.append_end(ended("c"))
        loop.turn()
        (segment,) = list_segments(journal)["w"]
        assert segment.path.read_bytes().endswith(b"\n")
        disk.room = sys.maxsize
        loop.advance(1)
        assert kinds(journal) == [("end", "a"), ("end", "b"), ("end", "c")]

    def test_a_torn_line_that_cannot_be_taken_back_is_closed(
        self,
        open_writer: OpenWriter,
        loop,
        disk: Disk,
        journal: Path,
        ended: Make,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        refuse_truncation(monkeypatch)
        writer = open_writer()
        disk.room = 100
        writer.append_end(ended("a"))
        loop.turn()
        loop.advance(2)
        disk.room = sys.maxsize
        loop.advance(5)
        writer.append_end(ended("b"))
        loop.turn()
        assert kinds(journal) == [("unreadable", ""), ("end", "a"), ("end", "b")]

    def test_a_refused_start_that_lacks_only_its_line_break_is_not_made_whole_later(
        self,
        open_writer: OpenWriter,
        loop,
        disk: Disk,
        journal: Path,
        make_record: Make,
        ended: Make,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        refused: list[str] = []
        writer = open_writer(on_failure="fail_closed")
        writer.append_start(make_record("a"), nothing)
        loop.turn()
        refuse_truncation(monkeypatch)
        disk.room = disk.writes[0] - 1
        writer.append_start(make_record("b"), nothing, lambda: refused.append("b"))
        loop.turn()
        assert refused == ["b"]
        disk.room = sys.maxsize
        loop.advance(5)
        writer.append_end(ended("a"))
        loop.turn()
        assert kinds(journal) == [("start", "a"), ("unreadable", ""), ("end", "a")]

    def test_beyond_the_memory_bound_entries_are_counted_as_lost(
        self, open_writer: OpenWriter, loop, disk: Disk, journal: Path, make_record: Make, ended: Make
    ) -> None:
        writer = open_writer(hold_bytes=1_000)
        disk.room = 0
        sent: list[int] = []
        for number in range(100):
            writer.append_start(make_record(f"r{number}"), lambda number=number: sent.append(number))
            loop.turn()
            writer.append_end(ended(f"r{number}"))
        loop.turn()
        assert sent == list(range(100))
        counters = writer.counters()
        assert counters.backlog_bytes < 2_000
        disk.room = sys.maxsize
        loop.advance(10)
        written = kinds(journal)
        assert len(written) + counters.lost_entries == 200
        assert written[0] == ("start", "r0")

    def test_the_end_of_a_written_start_is_never_dropped(
        self, open_writer: OpenWriter, loop, disk: Disk, journal: Path, make_record: Make, ended: Make
    ) -> None:
        writer = open_writer(hold_bytes=0)
        for number in range(20):
            writer.append_start(make_record(f"r{number}"), nothing)
        loop.turn()
        disk.room = 0
        writer.append_end(ended("unstarted"))
        loop.turn()
        for number in range(20):
            writer.append_end(ended(f"r{number}"))
        disk.room = sys.maxsize
        loop.advance(10)
        assert kinds(journal)[20:] == [("end", "unstarted"), *(("end", f"r{n}") for n in range(20))]
        assert writer.counters().lost_entries == 0

    def test_tries_grow_rarer_up_to_five_seconds(
        self, open_writer: OpenWriter, loop, disk: Disk, ended: Make
    ) -> None:
        writer = open_writer()
        disk.room = 0
        writer.append_end(ended("a"))
        loop.advance(60)
        # 0.1 0.2 0.4 ... 3.2, then every 5 s
        assert 15 <= writer.counters().write_failures <= 20

    def test_a_disk_that_is_full_at_start_is_waited_for(
        self, open_writer: OpenWriter, loop, journal: Path, ended: Make, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def full(_segment: object) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

        with monkeypatch.context() as patch:
            patch.setattr("byline.usage.journal.output.create", full)
            writer = open_writer()
            writer.append_end(ended("a"))
            loop.advance(3)
        assert writer.trouble() is not None
        loop.advance(6)
        assert kinds(journal) == [("end", "a")]

    def test_closing_during_an_outage_counts_what_was_held(
        self, open_writer: OpenWriter, loop, disk: Disk, ended: Make
    ) -> None:
        writer = open_writer()
        disk.room = 0
        writer.append_end(ended("a"))
        writer.append_end(ended("b"))
        loop.turn()
        writer.close()
        assert writer.counters().lost_entries == 2


class TestFailClosed:
    def test_starts_that_cannot_be_written_are_refused(
        self, open_writer: OpenWriter, loop, disk: Disk, journal: Path, make_record: Make, ended: Make
    ) -> None:
        writer = open_writer(on_failure="fail_closed")
        writer.append_start(make_record("early"), nothing)
        loop.turn()
        heard: list[str] = []

        def start(name: str) -> None:
            writer.append_start(
                make_record(name),
                lambda: heard.append(f"send {name}"),
                lambda: heard.append(f"refuse {name}"),
            )

        disk.room = disk.writes[0] * 2
        start("a")
        start("b")
        writer.append_end(ended("early"))
        start("c")
        loop.turn()
        assert sorted(heard) == ["refuse c", "send a", "send b"]
        assert not writer.accepts()
        start("d")
        loop.turn()
        assert heard[-1] == "refuse d"
        disk.room = sys.maxsize
        loop.advance(1)
        assert writer.accepts()
        start("e")
        loop.turn()
        assert heard[-1] == "send e"
        assert kinds(journal) == [
            ("start", "early"),
            ("start", "a"),
            ("start", "b"),
            ("end", "early"),
            ("start", "e"),
        ]
        assert writer.counters().refused_starts == 2

    def test_an_idle_writer_finds_out_by_itself_that_the_disk_is_back(
        self, open_writer: OpenWriter, loop, disk: Disk, journal: Path, make_record: Make
    ) -> None:
        writer = open_writer(on_failure="fail_closed")
        disk.room = 0
        writer.append_start(make_record("a"), nothing)
        loop.advance(20)
        assert not writer.accepts()
        disk.room = sys.maxsize
        loop.advance(5)
        assert writer.accepts()
        assert kinds(journal) == []


class TestDiskBudget:
    def test_undrained_segments_over_the_budget_are_an_outage_until_drained(
        self, open_writer: OpenWriter, loop, journal: Path, ended: Make
    ) -> None:
        writer = open_writer(max_bytes=2_000, on_failure="fail_closed")
        for number in range(20):
            writer.append_end(ended(f"r{number}"))
            loop.turn()
        trouble = writer.trouble()
        assert trouble is not None
        assert "journal.max_bytes" in trouble.reason
        assert not writer.accepts()
        loop.advance(2)
        *full, empty = list_segments(journal)["w"]
        assert empty.path.stat().st_size == 0
        for segment in full:
            segment.path.unlink()
        loop.advance(5)
        assert writer.accepts()

    def test_other_writers_count_too(self, open_writer: OpenWriter, loop, journal: Path, ended: Make) -> None:
        other, writer = open_writer("other"), open_writer("w", max_bytes=1_000)
        for number in range(20):
            other.append_end(ended(f"r{number}"))
        loop.turn()
        writer.append_end(ended("mine"))
        loop.turn()
        assert writer.trouble() is not None
        assert other.trouble() is None


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 256 KiB, where the kernel lets us mount one."""
    mount = tmp_path / "small"
    mount.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=256k", "byline-test", str(mount)]
    try:
        mounted = subprocess.run(command, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        mounted = False
    if not mounted:
        pytest.skip("no small file system: mounting a tmpfs is not permitted here")
    print("small file system: tmpfs of 256 KiB")
    yield mount
    subprocess.run(["umount", "-l", str(mount)], check=True)


class TestRealFullDisk:
    def test_a_full_file_system_loses_nothing_that_memory_can_hold(
        self, small_disk: Path, open_writer: OpenWriter, loop, make_record: Make, ended: Make
    ) -> None:
        directory = small_disk / "journal"
        writer = open_writer(directory=directory)
        ballast = small_disk / "ballast"
        ballast.write_bytes(bytes(200 * 1024))
        sent: list[int] = []
        for number in range(1_000):
            writer.append_start(make_record(f"r{number}"), lambda number=number: sent.append(number))
            writer.append_end(ended(f"r{number}"))
            loop.turn()
        trouble = writer.trouble()
        assert trouble is not None
        assert trouble.reason == os.strerror(errno.ENOSPC)
        assert len(sent) == 1_000
        before = kinds(directory)
        assert 0 < len(before) < 2_000
        ballast.unlink()
        loop.advance(1)
        assert writer.counters().write_failures >= 1
        # 2,000 entries still don't fit; the lines that do must be whole and in order.
        assert kinds(directory)[: len(before)] == before
        assert all(kind != "unreadable" for kind, _ in kinds(directory))

    def test_a_file_size_limit_counts_as_an_outage(self, tmp_path: Path) -> None:
        script = """
import resource, signal, sys
from datetime import UTC, datetime
from pathlib import Path
from byline.usage.journal import JournalWriter, JournalOptions
from byline.usage.record import UsageRecord
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, resource.RLIM_INFINITY))
ready, timers = [], []
writer = JournalWriter(Path(sys.argv[1]), "w", call_soon=ready.append,
    call_later=lambda _s, callback: timers.append(callback), options=JournalOptions())
def row(n):
    return UsageRecord(request_id=f"r{n:04}", exchange_id="x", started_at=datetime.now(UTC), provider="p", api="messages")
for n in range(200):
    writer.append_end(row(n))
    while ready: ready.pop(0)()
assert writer.trouble().reason == "File too large", writer.trouble()
while timers: timers.pop()()
print(writer.trouble(), writer.counters().lost_entries)
writer.close()
"""
        limit = resource.getrlimit(resource.RLIMIT_FSIZE)
        done = subprocess.run(
            [sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        assert resource.getrlimit(resource.RLIMIT_FSIZE) == limit
        written = kinds(tmp_path)
        assert written == [("end", f"r{number:04}") for number in range(len(written))]
        assert len(written) > 60
