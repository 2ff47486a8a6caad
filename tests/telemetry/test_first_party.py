from __future__ import annotations

import json
import os
import time

import pytest

from byline.telemetry.delivery import TryAgain, Undeliverable
from byline.telemetry.event import Event, EventContext
from byline.telemetry.gateway_route import GatewayRoute
from byline.telemetry.rows import RowMaker, privileged_columns
from byline.telemetry.sinks.first_party import FirstParty
from byline.telemetry.spool import Spool
from byline.telemetry.verified import i_verified_this_is_not_code_or_filepaths as vouch
from byline.telemetry.verified import i_verified_this_is_pii_tagged as personal
from byline.usage.columns import EVENT_COLUMNS, PRIVILEGED_PREFIX


def event(number=1, **values):
    context = EventContext(user="ada", job="nightly", session_id="s1")
    return Event("job_done", {"n": number, **values}, 1_800_000_000.25, context=context)


class Destination:
    def __init__(self):
        self.rows, self.errors, self.calls = [], [], 0

    def __call__(self, rows):
        self.calls += 1
        if self.errors:
            raise self.errors.pop(0)
        self.rows += rows


class Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


def test_a_row_has_the_columns_of_api_events_and_hoisted_personal_ones(source):
    values = {"model": vouch("claude-x"), "sample_rate": 0.5, "_PROTO_email": personal("ada@example.org")}
    row, undeclared = RowMaker(source, random_bytes=bytes).make(event(**values))
    assert undeclared == 0
    assert row == {
        "event_id": f"{1_800_000_000_250:012x}" + "00" * 10,
        "event_name": "job_done", "occurred_at": "2027-01-15T08:00:00.250000Z", "source": "client",
        "program": "newsroom", "version": "1.2.3", "build": "public", "user": "ada", "job": "nightly", "session_id": "s1",
        "sample_rate": 0.5, "metadata": {"n": 1, "model": "claude-x", "sample_rate": 0.5}, "pii_email": "ada@example.org",
    }  # fmt: skip
    assert set(row) <= set(EVENT_COLUMNS) | set(privileged_columns())
    assert all(column.startswith(PRIVILEGED_PREFIX) for column in privileged_columns(["shoe"]))


def test_a_personal_value_without_a_column_is_dropped_and_counted_never_metadata(source):
    destination = Destination()
    sink = FirstParty(destination, source)
    sink.send([event(_PROTO_shoe_size=personal("forty-four")), event()])
    assert "forty-four" not in json.dumps(destination.rows)
    assert sink.counters.dropped == {"undeclared_pii": 1}
    assert sink.counters.delivered == 2


def test_ids_differ_and_sort_by_time(source):
    rows = RowMaker(source)
    ids = [rows.make(Event("a", {}, at))[0]["event_id"] for at in (1.0, 1.0, 2.0)]
    assert len(set(ids)) == 3
    assert max(ids[:2]) < ids[2]


def test_a_failed_batch_stays_on_disk_and_is_sent_before_later_ones(source, tmp_path):
    destination, clock = Destination(), Clock()
    destination.errors = [OSError("down")] * 3
    sink = FirstParty(destination, source, spool=Spool(tmp_path), now=clock, jitter=lambda: 1.0)
    sink.send([event(1)])
    sink.send([event(2)])
    assert destination.calls == 1  # the second waits for the pause to end
    assert len(list(tmp_path.rglob("*.ndjson"))) == 2
    pauses = []
    while destination.errors:
        began = clock.now
        while destination.errors and destination.calls == len(pauses) + 1:
            clock.now += 0.25
            sink.idle()
        pauses.append(clock.now - began)
    clock.now += 30
    sink.idle()
    assert pauses == [0.5, 2.0]  # 0.5 s times the square of the failures
    assert [row["metadata"]["n"] for row in destination.rows] == [1, 2]
    assert list(tmp_path.rglob("*.ndjson")) == []
    sink.close(time.monotonic() + 10)
    assert list(tmp_path.iterdir()) == []


def test_what_a_dead_process_left_is_sent_at_the_next_start(source, tmp_path):
    down = Destination()
    down.errors = [OSError("down")]
    first = FirstParty(down, source, spool=(spool := Spool(tmp_path)))
    first.send([event(1), event(2)])
    left = Destination()
    live = FirstParty(left, source, spool=Spool(tmp_path))
    live.idle()
    assert left.rows == []  # its owner lives
    spool.forget()
    second = FirstParty(left, source, spool=Spool(tmp_path))
    second.idle()
    assert [row["metadata"]["n"] for row in left.rows] == [1, 2]
    second.close(time.monotonic() + 10)
    assert list(tmp_path.iterdir()) == []


def test_rows_refused_for_good_are_counted_and_not_tried_again(source, tmp_path):
    destination = Destination()
    destination.errors = [Undeliverable("refused", "no")]
    sink = FirstParty(destination, source, spool=Spool(tmp_path))
    sink.send([event(), event()])
    assert sink.counters.dropped == {"refused": 2}
    assert list(tmp_path.rglob("*.ndjson")) == []


def test_a_full_spool_gives_up_the_oldest_and_counts_them(source, tmp_path):
    destination = Destination()
    destination.errors = [OSError("down")] * 100
    spool = Spool(tmp_path, max_bytes=2000)
    sink = FirstParty(destination, source, spool=spool)
    for number in range(20):
        sink.send([event(number)])
    kept = [row["metadata"]["n"] for batch in spool.batches() for row in spool.rows(batch)]
    assert kept == list(range(20 - len(kept), 20))
    assert 0 < sum(path.stat().st_size for path in tmp_path.rglob("*.ndjson")) <= 2000
    assert sink.counters.dropped == {"spool_full": 20 - len(kept)}


def test_a_disk_that_takes_nothing_leaves_the_direct_way(source, tmp_path):
    (tmp_path / "file").write_text("")
    destination = Destination()
    FirstParty(destination, source, spool=Spool(tmp_path / "file")).send([event()])
    assert len(destination.rows) == 1


def test_torn_and_strange_files_in_the_spool_hold_nothing_up(source, tmp_path):
    dead = tmp_path / "0000000000000001-1-dead"
    dead.mkdir()
    (dead / "0000000000000001-2.ndjson").write_bytes(b'{"event_id":"a"}\n{"event_')
    (dead / "strange.ndjson").write_bytes(b"?")
    (tmp_path / "file").write_text("")
    destination = Destination()
    FirstParty(destination, source, spool=Spool(tmp_path)).idle()
    assert destination.rows == [{"event_id": "a"}]


def test_the_gateway_gets_ndjson_under_a_byline_key(receiver, source):
    receiver.answer = lambda body: json.dumps({"accepted": 1, "refused": 1, "errors": []}).encode()
    route = GatewayRoute(receiver.url + "/", "byl_secret")
    sink = FirstParty(route, source)
    sink.send([event(1), event(2)])
    assert receiver.paths == ["/byline/v1/events"]
    assert [json.loads(line)["metadata"]["n"] for line in receiver.bodies[0].splitlines()] == [1, 2]
    assert receiver.headers[0]["authorization"] == "Bearer byl_secret"
    assert (sink.counters.delivered, sink.counters.dropped) == (1, {"refused": 1})
    assert "byl_secret" not in repr(route)


@pytest.mark.parametrize("status", [401, 403, 429, 503])
def test_a_gateway_that_says_no_for_now_keeps_the_rows_on_disk(receiver, source, tmp_path, status):
    receiver.statuses = [status]
    clock = Clock()
    sink = FirstParty(GatewayRoute(receiver.url, "byl_x"), source, spool=Spool(tmp_path), now=clock)
    sink.send([event()])
    assert sink.counters.delivered == 0
    clock.now += 31
    sink.idle()
    assert sink.counters.delivered == 1


def test_many_rows_go_in_bodies_the_gateway_takes(receiver, source):
    sink = FirstParty(GatewayRoute(receiver.url, "byl_x"), source)
    sink.send([event(text=vouch("x" * 5000)) for _ in range(1000)])
    assert len(receiver.bodies) == 2
    assert max(map(len, receiver.bodies)) <= 4_000_000


def test_the_spool_is_for_its_owner_alone(source, tmp_path):
    destination = Destination()
    destination.errors = [TryAgain("later")]
    FirstParty(destination, source, spool=Spool(tmp_path / "spool")).send([event()])
    directory = next((tmp_path / "spool").iterdir())
    assert os.stat(directory).st_mode & 0o077 == 0
