"""Whatever is logged: general sinks see no personal value and no string that was not verified."""

from __future__ import annotations

import io

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from byline.stores.duckdb.connection import DuckDBOptions
from byline.stores.duckdb.ledger import DuckDBLedger
from byline.telemetry.delivery import DeliveryOptions
from byline.telemetry.event import EventContext
from byline.telemetry.fanout import FanOut, FirstPartyRoute, GeneralRoute
from byline.telemetry.low_trust import low_trust_route
from byline.telemetry.metadata import PII_PREFIX
from byline.telemetry.queue import EventQueue
from byline.telemetry.reduction import Reduction
from byline.telemetry.rows import privileged_columns
from byline.telemetry.sinks.console import ConsoleLines
from byline.telemetry.sinks.datadog import DatadogLogs
from byline.telemetry.sinks.first_party import FirstParty
from byline.telemetry.sinks.ndjson import NdjsonFile
from byline.telemetry.sinks.otlp import OtlpLogs
from byline.telemetry.verified import UnsafeMetadata, i_verified_this_is_pii_tagged, not_code_or_path

DECLARED = ("email", "username", "file_path")
FAST = DeliveryOptions(interval_s=0.01, first_retry_s=0.001)
KEYS = st.sampled_from(
    ["n", "model", "kind", "path_count", "ok", "text", "_PROTO_email", "_PROTO_x", "a b", "q"]
)
SECRETS = st.text(
    "abcdefghijkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789/.@ :", min_size=16, max_size=40
).filter(lambda text: text.strip() == text and len(set(text)) > 6)
SAFE = st.one_of(st.booleans(), st.integers(-(2**70), 2**70), st.floats(allow_nan=True), st.none())


@st.composite
def logged(draw: st.DrawFn):
    """An event that somebody tries to log, and every string in it that nobody verified."""
    unverified = draw(st.lists(SECRETS, min_size=1, max_size=6, unique=True))
    rest = iter(unverified)
    metadata = {}
    for key in draw(st.lists(KEYS, max_size=5, unique=True)):
        kind = draw(st.sampled_from(["safe", "verified", "plain", "tagged", "nested", "exception"]))
        text = next(rest, "") if kind not in {"safe", "verified"} else ""
        metadata[key] = {
            "safe": draw(SAFE),
            "verified": not_code_or_path(draw(st.sampled_from(["claude-x", "us-east-1", "v1"]))),
            "plain": text,
            "tagged": i_verified_this_is_pii_tagged(text),
            "nested": [text],
            "exception": ValueError(text),
        }[kind]
    pii = {
        key: i_verified_this_is_pii_tagged(text)
        for key, text in zip(draw(st.permutations([*DECLARED, "undeclared"])), rest, strict=False)
    }
    return metadata, pii, unverified


@pytest.fixture
def rig(make_receiver, source, tmp_path):
    datadog, collector = make_receiver(), make_receiver()
    collector.answer = lambda body: b""
    file, console = tmp_path / "events.ndjson", io.StringIO()
    complaints: list[str] = []
    ledger = DuckDBLedger(DuckDBOptions(path=tmp_path / "ledger.duckdb"), privileged=privileged_columns())

    def run(events) -> tuple[bytes, int]:
        queue = EventQueue(linger_s=0)
        whose = EventContext(user="the-user-nobody-sees", job="the-job-nobody-sees")
        queue.carry(object, lambda _: whose)
        taken = 0
        for metadata, pii, _ in events:
            try:
                queue.log_event("job_done", metadata, pii=pii)
                taken += 1
            except UnsafeMetadata as refused:
                complaints.append(str(refused))
        routes = [
            low_trust_route(
                DatadogLogs("key", source, url=datadog.url), allowed=frozenset({"job_done"}), options=FAST
            ),
            GeneralRoute(DatadogLogs("key", source, url=datadog.url), options=FAST),
            GeneralRoute(OtlpLogs(source, endpoint=collector.url), options=FAST),
            GeneralRoute(NdjsonFile(file), options=FAST, reduction=Reduction()),
            GeneralRoute(NdjsonFile(file), options=FAST),
            GeneralRoute(ConsoleLines(console), options=FAST),
        ]
        first_party = FirstParty(lambda rows: ledger.insert_events(rows) and 0, source)
        queue.attach(FanOut(routes, FirstPartyRoute(first_party, FAST)))
        queue.log_event("job_done", {"end": 1})
        assert queue.flush(30)
        queue.close(30)
        seen = datadog.everything + collector.everything + console.getvalue().encode()
        return seen + (file.read_bytes() if file.exists() else b""), taken

    run.ledger, run.complaints = ledger, complaints
    yield run
    ledger.close()


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(events=st.lists(logged(), min_size=1, max_size=8))
def test_no_general_sink_sees_a_personal_or_unverified_string(rig, events):
    general, _ = rig(events)
    assert b"job_done" in general
    for _, _, unverified in events:
        for text in unverified:
            assert text.encode() not in general
            assert not [complaint for complaint in rig.complaints if text in complaint]
    assert b"nobody-sees" not in general
    assert PII_PREFIX.encode() not in general
    rows = rig.ledger._database.cursor().execute("SELECT metadata::VARCHAR FROM store.api_events").fetchall()
    everything = "".join(row[0] for row in rows)
    assert PII_PREFIX not in everything
    assert not [text for _, _, unverified in events for text in unverified if text in everything]


def test_the_first_party_table_has_the_hoisted_columns_and_the_general_view_does_not(rig):
    values = {key: f"{key} of somebody, at length" for key in DECLARED}
    tagged = {key: i_verified_this_is_pii_tagged(value) for key, value in values.items()}
    general, taken = rig(
        [
            (
                {"n": 1, "model": not_code_or_path("claude-x")},
                {**tagged, "undeclared": i_verified_this_is_pii_tagged("lost" * 5)},
                [],
            )
        ]
    )
    assert taken == 1
    row = (
        rig.ledger._database.cursor()
        .execute(
            "SELECT pii_email, pii_username, pii_file_path, \"user\", job, metadata::VARCHAR FROM store.api_events WHERE metadata->>'n' = '1'"
        )
        .fetchone()
    )
    assert row == (
        *values.values(),
        "the-user-nobody-sees",
        "the-job-nobody-sees",
        '{"n":1,"model":"claude-x"}',
    )
    assert not [value for value in values.values() if value.encode() in general]
    described = rig.ledger._database.cursor().execute("DESCRIBE api_events").fetchall()
    assert not [column for column, *_ in described if column.startswith("pii_")]
