"""What goes wrong in a worker becomes rows of api_events; nothing a caller sent is in them."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import msgspec
from tests.gateway.conftest import Rig, receive_answer, request

from byline.gateway.exchange import Tally
from byline.gateway.own_events import OwnEvents
from byline.gateway.worker_events import WorkerEvents
from byline.telemetry.catalogue import CATALOGUE
from byline.telemetry.rows import RowMaker
from byline.telemetry.source import Source
from byline.usage.columns import EVENT_COLUMNS
from byline.usage.journal import JournalCounters


class Journal:
    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []
        self.is_in_trouble = False
        self.counts = JournalCounters()

    def append_event(self, columns: Any) -> None:
        self.rows.append(dict(columns))

    def trouble(self) -> object | None:
        return "full" if self.is_in_trouble else None

    def counters(self) -> JournalCounters:
        return self.counts


class Directory:
    problem: str | None = None


def watched() -> tuple[WorkerEvents, Journal, Directory, Tally]:
    journal, directory, tally = Journal(), Directory(), Tally()
    events = OwnEvents(journal, RowMaker(Source(kind="gateway")), tally, lambda: 1_800_000_000.0)
    return (
        WorkerEvents(journal, directory, tally, events),
        journal,
        directory,
        tally,
    )


def told(journal: Journal) -> list[tuple[str, dict[str, Any]]]:
    rows, journal.rows = journal.rows, []
    for row in rows:
        assert set(row) <= set(EVENT_COLUMNS)
        assert row["source"] == "gateway"
        assert set(row["metadata"]) == {field.name for field in CATALOGUE[row["event_name"]].fields}
    return [(row["event_name"], row["metadata"]) for row in rows]


def test_nothing_wrong_is_no_event():
    events, journal, _, tally = watched()
    events.look()
    tally["something_else"] += 1
    events.look()
    assert told(journal) == []


def test_refusals_of_a_second_are_one_event_a_kind():
    events, journal, _, tally = watched()
    tally.update(
        {
            "unknown_key": 40,
            "unauthenticated": 40,
            "refused_authentication": 40,
            "refused_too_large": 2,
            "malformed": 1,
        }
    )
    events.look()
    assert told(journal) == [
        ("gateway_requests_unauthenticated", {"kind": "unknown_key", "count": 40}),
        ("gateway_requests_refused", {"kind": "too_large", "count": 2}),
        ("gateway_requests_refused", {"kind": "malformed", "count": 1}),
    ]
    tally["unknown_key"] += 3
    events.look()
    events.look()
    assert told(journal) == [("gateway_requests_unauthenticated", {"kind": "unknown_key", "count": 3})]


def test_identities_and_upstream_trouble_are_counted_by_kind():
    events, journal, _, tally = watched()
    tally.update({"identifier_hashed": 2, "upstream:openai:first_byte_timeout": 1})
    events.look()
    assert told(journal) == [
        ("gateway_identity_counted", {"kind": "identifier_hashed", "count": 2}),
        ("gateway_upstream_trouble", {"provider": "openai", "kind": "first_byte_timeout", "count": 1}),
    ]


def test_trouble_is_told_when_it_begins_and_when_it_is_over():
    events, journal, directory, _ = watched()
    journal.is_in_trouble, directory.problem = True, "locked"
    journal.counts.lost_entries = 7
    events.look()
    events.look()
    assert told(journal) == [
        ("gateway_journal_trouble", {"is_over": False, "lost_entries": 7, "refused_starts": 0}),
        ("gateway_keys_trouble", {"is_over": False}),
    ]
    journal.is_in_trouble, directory.problem = False, None
    events.look()
    assert [(name, values["is_over"]) for name, values in told(journal)] == [
        ("gateway_journal_trouble", True),
        ("gateway_keys_trouble", True),
    ]


def journalled_events(rig: Rig) -> list[dict[str, Any]]:
    rig.stop()
    lines = [
        line
        for path in sorted((rig.data_dir / "journal").glob("*.ndjson"))
        for line in path.read_bytes().splitlines()
    ]
    return [entry for line in lines if (entry := msgspec.json.decode(line))["entry"] == "event"]


def test_a_refused_key_is_an_event_with_its_kind_and_never_the_key(make_rig: Callable[..., Rig]):
    rig = make_rig()
    secret = "byl_" + "k" * 12 + "_" + "s" * 43
    for presented in (secret, secret[:-1] + "t", "sk-ant-somebody-elses"):
        with rig.connect() as connection:
            connection.sendall(request(key=presented))
            assert b" 401 " in receive_answer(connection)[0]
    events = journalled_events(rig)
    kinds = {event["metadata"]["kind"]: event["metadata"]["count"] for event in events}
    assert sum(kinds.values()) == 3
    assert {event["event_name"] for event in events} == {"gateway_requests_unauthenticated"}
    text = json.dumps(events)
    assert "kkkk" not in text
    assert "sssss" not in text
    assert "somebody" not in text


def test_a_provider_that_can_not_be_reached_is_upstream_trouble(make_rig: Callable[..., Rig]):
    rig = make_rig(BYLINE_PROVIDERS__ANTHROPIC__BASE_URL="http://127.0.0.1:9")
    with rig.connect() as connection:
        connection.sendall(request(key=rig.key))
        assert b" 502 " in receive_answer(connection)[0]
    events = journalled_events(rig)
    assert [(event["event_name"], event["metadata"]) for event in events] == [
        ("gateway_upstream_trouble", {"provider": "anthropic", "kind": "connect_error", "count": 1})
    ]
