from __future__ import annotations

import errno
import json
import os
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from byline.usage.journal import Drainer, DrainOptions, JournalOptions, JournalWriter, drain_all
from byline.usage.journal.entries import END, START, encode
from byline.usage.journal.segments import Segment, create, list_segments
from byline.usage.ledger import LedgerUnavailable
from byline.usage.record import UsageRecord

Make = Callable[..., UsageRecord]
OpenWriter = Callable[..., JournalWriter]


class Store:
    """Keeps what was delivered by id, as every ledger must; fails on demand."""

    def __init__(self) -> None:
        self.rows: dict[str, UsageRecord] = {}
        self.events: dict[object, dict[str, object]] = {}
        self.batches: list[int] = []
        self.seen: Counter[str] = Counter()
        self.error: Exception | None = None
        self.poison: set[str] = set()

    def deliver(self, rows: list[UsageRecord], events: list[dict[str, object]]) -> None:
        if self.error is not None:
            raise self.error
        if bad := self.poison.intersection(row.request_id for row in rows):
            raise ValueError(f"column user: {min(bad)} is too long")
        if bad := self.poison.intersection(str(event["event_id"]) for event in events):
            raise ValueError(f"metadata of {min(bad)} is no JSON")
        self.batches.append(len(rows) + len(events))
        for row in rows:
            self.seen[row.request_id] += 1
            if row.request_id not in self.rows or self.rows[row.request_id].outcome == "interrupted":
                self.rows[row.request_id] = row
        self.events.update({event["event_id"]: event for event in events})

    def outcomes(self) -> dict[str, str]:
        return {request_id: row.outcome for request_id, row in self.rows.items()}


@pytest.fixture
def store() -> Store:
    return Store()


class Clock:
    def __init__(self) -> None:
        self.time = 0.0

    def __call__(self) -> float:
        return self.time


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def open_drainer(journal: Path, store: Store, clock: Clock) -> Callable[..., Drainer]:
    def open_one(prepare: Callable[[UsageRecord], None] | None = None, **options: object) -> Drainer:
        return Drainer(
            journal,
            store.deliver,
            prepare=prepare,
            now=clock,
            wall=lambda: datetime(2026, 11, 1, 12, 1, 1, tzinfo=UTC).timestamp(),
            jitter=lambda: 1.0,
            options=DrainOptions(**options),  # type: ignore[arg-type]
        )

    return open_one


def nothing() -> None:
    pass


def write_segment(directory: Path, data: bytes, writer: str = "dead", sequence: int = 1) -> Segment:
    directory.mkdir(exist_ok=True)
    segment = Segment(directory, writer, sequence)
    segment.path.write_bytes(data)
    return segment


def lines(*entries: tuple[bytes, UsageRecord]) -> bytes:
    buffer = bytearray()
    for prefix, record in entries:
        encode(buffer, prefix, record)
    return bytes(buffer)


class TestDelivery:
    def test_ended_rows_and_events_reach_the_store_while_the_writer_lives(
        self,
        open_writer: OpenWriter,
        loop,
        open_drainer,
        store: Store,
        journal: Path,
        make_record: Make,
        ended: Make,
    ) -> None:
        writer, drainer = open_writer(), open_drainer()
        writer.append_start(make_record("a"), nothing)
        writer.append_start(make_record("b"), nothing)
        writer.append_end(ended("a"))
        writer.append_event({"event_id": "e", "event_name": "started"})
        loop.turn()
        assert drainer.step() == 0.25
        assert store.rows == {"a": ended("a")}
        assert store.events == {"e": {"event_id": "e", "event_name": "started"}}
        assert drainer.counters.undrained_bytes == 0
        writer.append_end(ended("b"))
        loop.turn()
        drainer.step()
        assert set(store.rows) == {"a", "b"}
        assert store.seen.most_common(1)[0][1] == 1

    def test_rows_are_prepared_once_before_delivery(
        self, open_writer: OpenWriter, loop, open_drainer, store: Store, clock: Clock, ended: Make
    ) -> None:
        prepared: list[str] = []

        def price(row: UsageRecord) -> None:
            prepared.append(row.request_id)
            row.cost_status = "priced"

        drainer, writer = open_drainer(price), open_writer()
        writer.append_end(ended("a"))
        loop.turn()
        store.error = LedgerUnavailable("restarting")
        clock.time += drainer.step()
        store.error = None
        drainer.step()
        assert prepared == ["a"]
        assert store.rows["a"].cost_status == "priced"

    def test_a_row_that_cannot_be_prepared_is_delivered_all_the_same(
        self, open_writer: OpenWriter, loop, open_drainer, store: Store, ended: Make
    ) -> None:
        def price(row: UsageRecord) -> None:
            raise KeyError(row.request_id)

        drainer, writer = open_drainer(price), open_writer()
        writer.append_end(ended("a"))
        loop.turn()
        drainer.step()
        assert set(store.rows) == {"a"}
        assert drainer.counters.unprepared_rows == 1

    def test_a_backlog_goes_in_bounded_batches(
        self, open_writer: OpenWriter, loop, open_drainer, store: Store, ended: Make
    ) -> None:
        writer, drainer = open_writer(segment_bytes=5_000), open_drainer(max_rows=30)
        for number in range(100):
            writer.append_end(ended(f"r{number}"))
            loop.turn()
        pauses = [drainer.step() for _ in range(4)]
        assert store.batches == [30, 30, 30, 10]
        assert pauses == [0.0, 0.0, 0.0, 0.25]

    def test_a_batch_is_bounded_in_bytes_too(
        self, open_writer: OpenWriter, loop, open_drainer, store: Store, ended: Make
    ) -> None:
        writer, drainer = open_writer(), open_drainer(max_bytes=1_000)
        for number in range(50):
            writer.append_end(ended(f"r{number}"))
        loop.turn()
        drainer.step()
        assert 1 <= store.batches[0] <= 6

    def test_a_busy_writer_does_not_starve_another(
        self, open_writer: OpenWriter, loop, open_drainer, store: Store, ended: Make
    ) -> None:
        busy, quiet, drainer = open_writer("busy"), open_writer("quiet"), open_drainer(max_rows=10)
        for number in range(1_000):
            busy.append_end(ended(f"busy{number}"))
        quiet.append_end(ended("quiet"))
        loop.turn()
        drainer.step()
        drainer.step()
        assert "quiet" in store.rows

    def test_a_missing_directory_is_an_empty_journal(self, tmp_path: Path, store: Store) -> None:
        assert drain_all(tmp_path, store.deliver).rows == 0

    def test_files_that_are_no_segments_are_left_alone(
        self, journal: Path, open_drainer, store: Store
    ) -> None:
        journal.mkdir()
        (journal / "notes.ndjson").write_text("{}\n")
        (journal / "README").write_text("x")
        open_drainer().step()
        assert {path.name for path in journal.iterdir()} == {"notes.ndjson", "README"}


class TestDeletion:
    def test_a_finished_segment_goes_once_all_of_it_was_acknowledged(
        self, open_writer: OpenWriter, loop, open_drainer, journal: Path, ended: Make
    ) -> None:
        writer, drainer = open_writer(segment_bytes=1), open_drainer()
        for number in range(5):
            writer.append_end(ended(f"r{number}"))
            loop.turn()
        assert len(list_segments(journal)["w"]) == 6
        drainer.step()
        assert [segment.sequence for segment in list_segments(journal)["w"]] == [6]
        assert drainer.counters.deleted_segments == 5

    def test_nothing_goes_while_the_store_does_not_acknowledge(
        self, open_writer: OpenWriter, loop, open_drainer, journal: Path, store: Store, ended: Make
    ) -> None:
        writer, drainer = open_writer(segment_bytes=1), open_drainer()
        writer.append_end(ended("a"))
        loop.turn()
        store.error = LedgerUnavailable("gone")
        drainer.step()
        assert len(list_segments(journal)["w"]) == 2
        assert list(journal.glob("*.offset")) == []

    def test_an_open_start_holds_its_segment_until_it_ends(
        self, open_drainer, journal: Path, store: Store, make_record: Make, ended: Make
    ) -> None:
        write_segment(journal, lines((START, make_record("s")), (END, ended("x"))), "w", 1)
        held = create(Segment(journal, "w", 2))  # the writer lives, and has not logged `s` again
        try:
            drainer = open_drainer()
            drainer.step()
            assert store.outcomes() == {"x": "ok"}
            assert [segment.sequence for segment in list_segments(journal)["w"]] == [1, 2]
            os.write(held, lines((END, ended("s"))))
            drainer.step()
            assert store.outcomes() == {"x": "ok", "s": "ok"}
            assert [segment.sequence for segment in list_segments(journal)["w"]] == [2]
        finally:
            os.close(held)

    def test_a_start_and_its_end_pair_up_over_three_segments(
        self,
        open_writer: OpenWriter,
        loop,
        open_drainer,
        journal: Path,
        store: Store,
        make_record: Make,
        ended: Make,
    ) -> None:
        writer, drainer = open_writer(segment_bytes=1), open_drainer()
        writer.append_start(make_record("stream"), nothing)
        loop.turn()
        for number in range(3):
            writer.append_end(ended(f"r{number}"))
            loop.turn()
            drainer.step()
            assert len(list_segments(journal)["w"]) == 1
        writer.append_end(ended("stream"))
        loop.turn()
        writer.close()
        drainer.step()
        assert store.outcomes() == {"r0": "ok", "r1": "ok", "r2": "ok", "stream": "ok"}
        assert list(journal.iterdir()) == []
        assert drainer.counters.interrupted_rows == 0

    def test_starts_logged_again_give_no_rows_while_the_writer_lives(
        self, open_writer: OpenWriter, loop, open_drainer, store: Store, make_record: Make, ended: Make
    ) -> None:
        writer, drainer = open_writer(segment_bytes=1), open_drainer()
        writer.append_start(make_record("stream"), nothing)
        loop.turn()
        writer.append_end(ended("other"))
        loop.turn()
        for _ in range(3):
            drainer.step()
        assert set(store.rows) == {"other"}


class TestDeadWriters:
    def test_a_start_without_end_becomes_an_interrupted_row(
        self, open_drainer, journal: Path, store: Store, make_record: Make, ended: Make
    ) -> None:
        write_segment(journal, lines((START, make_record("a")), (START, make_record("b")), (END, ended("b"))))
        open_drainer().step()
        assert store.outcomes() == {"b": "ok", "a": "interrupted"}
        row = store.rows["a"]
        assert row.usage_complete is False
        assert row.ended_at is None
        assert row.user == "ada"
        assert list(journal.iterdir()) == []

    def test_a_start_logged_again_as_already_filled_is_still_interrupted(
        self, open_drainer, journal: Path, store: Store, ended: Make
    ) -> None:
        write_segment(journal, lines((START, ended("a"))))
        open_drainer().step()
        assert store.outcomes() == {"a": "interrupted"}
        assert store.rows["a"].ended_at is None

    def test_a_start_over_many_segments_is_one_interrupted_row(
        self, open_drainer, journal: Path, store: Store, make_record: Make
    ) -> None:
        for sequence in (1, 2, 3):
            write_segment(journal, lines((START, make_record("a"))), sequence=sequence)
        open_drainer().step()
        assert store.seen == {"a": 1}
        assert list(journal.iterdir()) == []

    def test_more_interrupted_rows_than_a_batch_holds_come_in_several(
        self, open_drainer, journal: Path, store: Store, make_record: Make
    ) -> None:
        write_segment(journal, lines(*((START, make_record(f"r{n}")) for n in range(25))))
        drainer = open_drainer(max_rows=10)
        while drainer.advance():
            pass
        assert store.batches == [10, 10, 5]
        assert set(store.outcomes().values()) == {"interrupted"}
        assert list(journal.iterdir()) == []
        assert drainer.counters.interrupted_rows == 25

    def test_dead_writers_are_recovered_before_living_ones(
        self,
        open_writer: OpenWriter,
        loop,
        open_drainer,
        journal: Path,
        store: Store,
        make_record: Make,
        ended: Make,
    ) -> None:
        writer = open_writer("alive")
        for number in range(20):
            writer.append_end(ended(f"alive{number}"))
        loop.turn()
        write_segment(journal, lines((START, make_record("lost"))), "zz-dead")
        open_drainer(max_rows=5).step()
        assert "lost" in store.rows

    def test_an_end_beats_the_interrupted_row_that_a_crashed_drainer_delivered(
        self, open_drainer, journal: Path, store: Store, make_record: Make, ended: Make
    ) -> None:
        data = lines((START, make_record("a")), (END, ended("a")))
        store.deliver([msgspec.structs.replace(make_record("a"), outcome="interrupted")], [])
        write_segment(journal, data)
        open_drainer().step()
        assert store.outcomes() == {"a": "ok"}


class TestTornLines:
    def test_a_line_torn_anywhere_is_set_aside_and_the_rest_recovered(
        self, tmp_path: Path, make_record: Make, ended: Make
    ) -> None:
        whole = lines((START, make_record("a")), (START, make_record("b")), (END, ended("b")))
        last = lines((END, ended("a")))
        for cut in range(len(last)):
            data_dir = tmp_path / str(cut)
            data_dir.mkdir()
            store = Store()
            write_segment(data_dir / "journal", whole + last[:cut])
            drained = drain_all(data_dir, store.deliver)
            assert store.outcomes() == {"b": "ok", "a": "interrupted"}
            torn = data_dir / "journal" / "torn" / "dead-00000001.ndjson"
            if cut == 0:
                assert not torn.exists()
            else:
                assert torn.read_bytes() == last[:cut] + b"\n"
            assert drained.set_aside_lines == (1 if cut else 0)
            assert list_segments(data_dir / "journal") == {}

    def test_a_torn_line_of_a_living_writer_is_waited_for(
        self, open_writer: OpenWriter, loop, open_drainer, journal: Path, store: Store, ended: Make
    ) -> None:
        writer, drainer = open_writer(), open_drainer()
        writer.append_end(ended("a"))
        loop.turn()
        (segment,) = list_segments(journal)["w"]
        line = lines((END, ended("b")))
        with segment.path.open("ab") as file:
            file.write(line[:50])
            file.flush()
            drainer.step()
            assert set(store.rows) == {"a"}
            file.write(line[50:])
        drainer.step()
        assert set(store.rows) == {"a", "b"}
        assert drainer.counters.set_aside_lines == 0

    def test_a_damaged_line_in_the_middle_is_set_aside_and_the_rest_read(
        self, open_drainer, journal: Path, store: Store, ended: Make, caplog: pytest.LogCaptureFixture
    ) -> None:
        first, second = lines((END, ended("a"))), lines((END, ended("b")))
        write_segment(journal, first + b"\0\0{]\n" + second)
        drainer = open_drainer()
        drainer.step()
        assert set(store.rows) == {"a", "b"}
        assert drainer.counters.set_aside_lines == 1
        assert (journal / "torn" / "dead-00000001.ndjson").read_bytes() == b"\0\0{]\n"
        assert "unreadable line" in caplog.text

    def test_a_line_that_cannot_be_set_aside_is_not_passed_over(
        self, open_drainer, clock: Clock, journal: Path, store: Store, ended: Make
    ) -> None:
        write_segment(journal, lines((END, ended("a"))) + b"damaged\n" + lines((END, ended("b"))))
        write_segment(journal, lines((END, ended("other"))), "other")
        (journal / "torn").touch()
        drainer = open_drainer()
        clock.time += drainer.step()
        clock.time += drainer.step()
        assert drainer.counters.failures == 2
        assert set(store.rows) == {"a", "other"}
        (journal / "torn").unlink()
        clock.time += 60
        drainer.step()
        drainer.step()
        assert store.seen == {"a": 1, "b": 1, "other": 1}
        assert (journal / "torn" / "dead-00000001.ndjson").read_bytes() == b"damaged\n"


class TestFailingStore:
    def test_rows_wait_and_pauses_grow(
        self, open_writer: OpenWriter, loop, open_drainer, clock: Clock, store: Store, ended: Make
    ) -> None:
        writer, drainer = open_writer(), open_drainer()
        writer.append_end(ended("a"))
        loop.turn()
        store.error = LedgerUnavailable("the ledger restarts")
        pauses: list[float] = []
        for _ in range(9):
            pauses.append(drainer.step())
            clock.time += pauses[-1]
        assert pauses == [0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0]
        assert drainer.counters.failures == 9
        assert drainer.counters.undrained_bytes > 0
        assert drainer.counters.oldest_undrained_s == 60.0
        assert drainer.last_error is store.error
        store.error = None
        assert drainer.step() == 0.25
        assert set(store.rows) == {"a"}
        assert drainer.counters.undrained_bytes == 0
        assert drainer.counters.oldest_undrained_s == 0.0
        assert drainer.last_error is None

    def test_a_step_within_the_pause_does_nothing(
        self, open_writer: OpenWriter, loop, open_drainer, clock: Clock, store: Store, ended: Make
    ) -> None:
        writer, drainer = open_writer(), open_drainer()
        writer.append_end(ended("a"))
        loop.turn()
        store.error = RuntimeError("x")
        drainer.step()
        store.error = None
        clock.time += 0.1
        assert drainer.step() == pytest.approx(0.15)
        assert store.rows == {}

    def test_a_refused_row_is_set_aside_and_the_others_arrive(
        self, open_writer: OpenWriter, loop, open_drainer, journal: Path, store: Store, ended: Make
    ) -> None:
        writer, drainer = open_writer(), open_drainer()
        for number in range(100):
            writer.append_end(ended(f"r{number}"))
        writer.append_event({"event_id": "e", "metadata": "{"})
        loop.turn()
        store.poison = {"r37", "e"}
        drainer.step()
        assert set(store.rows) == {f"r{number}" for number in range(100)} - {"r37"}
        refused = json.loads((journal / "refused" / "r37.json").read_bytes())
        assert refused["reason"] == "column user: r37 is too long"
        assert refused["columns"]["request_id"] == "r37"
        assert (journal / "refused" / "e.json").exists()
        assert drainer.counters.refused_rows == 2
        assert drainer.counters.delivered_rows == 99
        assert drainer.counters.delivered_events == 0
        assert drainer.counters.failures == 0

    def test_a_store_that_refuses_everything_is_an_outage_and_nothing_is_set_aside(
        self, open_writer: OpenWriter, loop, open_drainer, journal: Path, store: Store, ended: Make
    ) -> None:
        writer, drainer = open_writer(), open_drainer(max_refused=10)
        for number in range(100):
            writer.append_end(ended(f"r{number}"))
        loop.turn()
        store.error = ValueError("no such column: speed")
        assert drainer.step() > 0
        assert drainer.counters.failures == 1
        assert "no such column: speed" in str(drainer.last_error)
        assert not (journal / "refused").exists()

    def test_a_lone_refusal_is_believed_once_the_store_accepts_another_row(
        self,
        open_writer: OpenWriter,
        loop,
        open_drainer,
        clock: Clock,
        journal: Path,
        store: Store,
        ended: Make,
    ) -> None:
        writer, drainer = open_writer(), open_drainer()
        writer.append_end(ended("bad"))
        loop.turn()
        store.poison = {"bad"}
        clock.time += drainer.step()
        assert drainer.counters.failures == 1
        assert not (journal / "refused").exists()
        writer.append_end(ended("good"))
        loop.turn()
        drainer.step()
        assert set(store.rows) == {"good"}
        assert (journal / "refused" / "bad.json").exists()
        assert drainer.last_error is None

    def test_what_comes_during_an_outage_joins_the_waiting_batch(
        self, open_writer: OpenWriter, loop, open_drainer, clock: Clock, store: Store, ended: Make
    ) -> None:
        writer, drainer = open_writer(), open_drainer(max_rows=5)
        store.error = LedgerUnavailable("x")
        for number in range(8):
            writer.append_end(ended(f"r{number}"))
            loop.turn()
            clock.time += drainer.step()
        store.error = None
        assert drainer.step() == 0.0
        assert drainer.step() == 0.25
        assert store.batches == [5, 3]

    def test_an_id_cannot_choose_where_its_refusal_is_kept(
        self, open_writer: OpenWriter, loop, open_drainer, journal: Path, store: Store, ended: Make
    ) -> None:
        writer, drainer = open_writer(), open_drainer()
        ids = {"../../escape", "../..\0escape", "a" * 300}
        for request_id in ids:
            writer.append_end(ended(request_id))
        loop.turn()
        store.poison = ids
        writer.append_end(ended("harmless"))
        loop.turn()
        drainer.step()
        kept = list(journal.parent.rglob("*.json"))
        assert len(kept) == 3
        assert all(path.parent == journal / "refused" for path in kept)

    def test_drain_all_believes_a_lone_refusal(
        self, open_writer: OpenWriter, loop, journal: Path, store: Store, ended: Make
    ) -> None:
        writer = open_writer()
        writer.append_end(ended("bad"))
        loop.turn()
        store.poison = {"bad"}
        drained = drain_all(journal.parent, store.deliver)
        assert (drained.rows, drained.refused_rows) == (0, 1)

    def test_drain_all_says_what_went_wrong(
        self, open_writer: OpenWriter, loop, journal: Path, store: Store, ended: Make
    ) -> None:
        writer = open_writer()
        writer.append_end(ended("a"))
        loop.turn()
        store.error = LedgerUnavailable("locked by process 12")
        with pytest.raises(LedgerUnavailable, match="12"):
            drain_all(journal.parent, store.deliver)


class TestRestart:
    def test_a_new_drainer_goes_on_behind_what_was_acknowledged(
        self, open_writer: OpenWriter, loop, open_drainer, store: Store, make_record: Make, ended: Make
    ) -> None:
        writer = open_writer()
        writer.append_start(make_record("stream"), nothing)
        for number in range(50):
            writer.append_end(ended(f"r{number}"))
        loop.turn()
        open_drainer().step()
        second = open_drainer()
        second.step()
        assert second.counters.delivered_rows == 0
        writer.append_end(ended("r50"))
        loop.turn()
        second.step()
        assert second.counters.delivered_rows == 1
        writer.close()
        third = open_drainer()
        third.step()
        assert third.counters.delivered_rows == 1
        assert store.outcomes()["stream"] == "interrupted"
        assert set(store.seen.values()) == {1}

    @pytest.mark.parametrize(
        "damage", [b"", b"{", b'{"offset":999999}', b'{"offset":60,"open_starts":[7]}', b"\0"]
    )
    def test_a_damaged_offset_file_only_repeats_work(
        self,
        open_writer: OpenWriter,
        loop,
        open_drainer,
        journal: Path,
        store: Store,
        ended: Make,
        damage: bytes,
    ) -> None:
        writer = open_writer()
        for number in range(5):
            writer.append_end(ended(f"r{number}"))
        loop.turn()
        open_drainer().step()
        (offset,) = journal.glob("*.offset")
        offset.write_bytes(damage)
        open_drainer().step()
        assert set(store.seen.values()) == {2}
        assert len(store.rows) == 5

    def test_a_disk_too_full_for_offsets_does_not_stop_deletion(
        self,
        open_writer: OpenWriter,
        loop,
        open_drainer,
        journal: Path,
        make_record: Make,
        ended: Make,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        def full(_segment: Segment, _progress: object) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        write_segment(journal, lines((START, make_record("stream"))), "w", 1)
        for sequence in (2, 3):
            write_segment(journal, lines((END, ended(f"r{sequence}"))), "w", sequence)
        held = create(Segment(journal, "w", 4))
        drainer = open_drainer()
        with monkeypatch.context() as patch:
            patch.setattr("byline.usage.journal.progress.save", full)
            drainer.step()
        assert drainer.last_error is None
        assert [segment.sequence for segment in list_segments(journal)["w"]] == [1, 4]
        drainer.step()
        assert [path.name for path in journal.glob("*.offset")] == ["w-00000001.offset"]
        os.close(held)

    def test_what_crashes_left_beside_the_segments_is_swept(self, journal: Path, open_drainer) -> None:
        journal.mkdir()
        for name in ("gone-00000001.offset", "gone-00000001.offset.new", ".gone-00000002.ndjson.new"):
            (journal / name).touch()
            os.utime(journal / name, (0, 0))
        (journal / ".young-00000001.ndjson.new").touch()
        open_drainer()
        assert [path.name for path in journal.iterdir()] == [".young-00000001.ndjson.new"]


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    actions=st.lists(
        st.sampled_from(["start", "end", "turn", "step", "restart", "fail", "mend", "time"]), max_size=80
    ),
    segment_bytes=st.sampled_from([1, 700, 5_000]),
    max_rows=st.sampled_from([1, 3, 100]),
)
def test_whatever_happens_every_sent_attempt_has_one_row(
    tmp_path_factory: pytest.TempPathFactory,
    make_record: Make,
    ended: Make,
    actions: list[str],
    segment_bytes: int,
    max_rows: int,
) -> None:
    directory = tmp_path_factory.mktemp("any") / "journal"
    ready: list[Callable[[], object]] = []
    store, clock = Store(), Clock()
    writer = JournalWriter(
        directory,
        "w",
        call_soon=ready.append,
        call_later=lambda _s, _c: None,
        now=clock,
        options=JournalOptions(segment_bytes=segment_bytes, segment_age_s=5),
    )

    def new_drainer() -> Drainer:
        return Drainer(directory, store.deliver, now=clock, options=DrainOptions(max_rows=max_rows))

    drainer, sent, finished, written = new_drainer(), list[str](), set[str](), set[str]()
    for number, action in enumerate(actions):
        if action == "start":
            writer.append_start(make_record(f"r{number}"), lambda number=number: sent.append(f"r{number}"))
        elif action == "end" and (unended := [name for name in sent if name not in finished]):
            finished.add(unended[0])
            writer.append_end(ended(unended[0]))
        elif action == "turn":
            while ready:
                ready.pop(0)()
            written |= finished
        elif action == "step":
            drainer.step()
        elif action == "restart":
            drainer = new_drainer()
        elif action in ("fail", "mend"):
            store.error = LedgerUnavailable("x") if action == "fail" else None
        else:
            clock.time += 40
    # The writer lets go as a killed one would: what it did not write is gone.
    writer._buffer.clear()  # type: ignore[attr-defined] # pyright: ignore[reportPrivateUsage]
    writer.close()
    store.error = None
    drain_all(directory.parent, store.deliver)
    assert set(sent) <= set(store.rows)
    assert list_segments(directory) == {}
    assert {name for name, outcome in store.outcomes().items() if outcome == "ok"} == written
