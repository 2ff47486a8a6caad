from __future__ import annotations

import io
import json
import socket
import time

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

from byline.telemetry.delivery import TryAgain, Undeliverable
from byline.telemetry.fanout import GeneralEvent
from byline.telemetry.posting import within_limits
from byline.telemetry.sinks.console import ConsoleLines
from byline.telemetry.sinks.datadog import MAX_ENTRY_BYTES, MAX_REQUEST_BYTES, DatadogLogs
from byline.telemetry.sinks.dogstatsd import DogStatsdMetrics
from byline.telemetry.sinks.ndjson import NdjsonFile
from byline.telemetry.sinks.otlp import OtlpLogs
from byline.telemetry.verified import i_verified_this_is_not_code_or_filepaths as vouch
from byline.telemetry.verified import i_verified_this_is_pii_tagged as personal

AT = time.time()


def event(name="job_done", at=None, **metadata):
    return GeneralEvent(name, metadata, AT if at is None else at)


def datadog(receiver, source, **more):
    return DatadogLogs("dd-secret", source, url=f"{receiver.url}/api/v2/logs", **more)


def test_datadog_gets_a_gzip_array_under_its_key(receiver, source):
    sink = datadog(receiver, source)
    sink.send([event(model=vouch("claude-x"), n=2, ok=True, none=None)])
    assert json.loads(receiver.bodies[0]) == [
        {
            "ddsource": "byline", "service": "newsroom", "ddtags": "version:1.2.3,build:public", "message": "job_done",
            "timestamp": round(AT * 1000), "event": {"model": "claude-x", "n": 2, "ok": True, "none": None},
        }
    ]  # fmt: skip
    assert receiver.headers[0]["dd-api-key"] == "dd-secret"
    assert receiver.headers[0]["content-encoding"] == "gzip"
    assert sink.counters.delivered == 1
    assert "dd-secret" not in repr(sink)


def test_datadog_requests_stay_within_its_limits(receiver, source):
    sink = datadog(receiver, source)
    sink.send([event(text=vouch("x" * 900)) for _ in range(2500)])
    big = [event(text=vouch("x" * 900_000)) for _ in range(7)]
    sink.send([*big, event(text=vouch("x" * MAX_ENTRY_BYTES)), event(at=AT - 19 * 3600)])
    counts = [len(json.loads(body)) for body in receiver.bodies]
    assert counts[:3] == [1000, 1000, 500]
    assert sum(counts[3:]) == 7
    assert max(map(len, receiver.bodies)) <= MAX_REQUEST_BYTES
    assert sink.counters.dropped == {"too_large": 1, "too_old": 1}


@pytest.mark.parametrize("status", [408, 429, 500, 503])
def test_datadog_answers_worth_another_try(receiver, source, status):
    receiver.statuses = [status]
    with pytest.raises(TryAgain):
        datadog(receiver, source).send([event()])


@pytest.mark.parametrize("status", [301, 307, 400, 401, 403, 413])
def test_datadog_answers_that_are_final_and_redirects_are_not_followed(receiver, source, status):
    receiver.statuses = [status]
    with pytest.raises(Undeliverable) as refused:
        datadog(receiver, source).send([event()])
    assert len(receiver.bodies) == 1
    assert "dd-secret" not in str(refused.value)


def test_no_answer_is_worth_another_try(source):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(TryAgain) as failed:
            DatadogLogs("dd-secret", source, url=url, timeout_s=0.1).send([event()])
    assert "dd-secret" not in str(failed.value)


def test_groups_fit_their_limits_exactly():
    groups = list(within_limits([b"123", b"456", b"7", b"8"], 10, 8))
    assert groups == [[b"123", b"456"], [b"7", b"8"]]


def test_a_collector_gets_log_events_with_attributes_and_resource(receiver, source):
    sink = OtlpLogs(source, endpoint=f"{receiver.url}/v1/logs")
    receiver.answer = lambda body: b""
    sink.send([event(model=vouch("claude-x"), n=2, ratio=0.5, ok=True, none=None)])
    sent = ExportLogsServiceRequest.FromString(receiver.bodies[0]).resource_logs[0]
    record = sent.scope_logs[0].log_records[0]
    values = {each.key: each.value for each in record.attributes}
    assert record.event_name == "job_done"
    assert record.time_unix_nano == round(AT * 1e9)
    assert (values["model"].string_value, values["n"].int_value, values["ok"].bool_value) == (
        "claude-x",
        2,
        True,
    )
    assert "none" not in values
    assert {each.key: each.value.string_value for each in sent.resource.attributes} == sink.resource()
    assert sink.counters.delivered == 1


def test_a_hanging_collector_holds_its_thread_no_longer_than_the_timeout(receiver, source):
    receiver.gate.clear()
    began = time.monotonic()
    with pytest.raises(TryAgain):
        OtlpLogs(source, endpoint=f"{receiver.url}/v1/logs", timeout_s=0.2).send([event()])
    assert time.monotonic() - began < 20


def test_dogstatsd_gets_a_count_and_a_distribution_per_number(source):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as agent:
        agent.bind(("127.0.0.1", 0))
        agent.settimeout(10)
        sink = DogStatsdMetrics(source, port=agent.getsockname()[1])
        sink.send([event(model=vouch("claude-x"), shards=3, ok=True, user_bucket=7)])
        sink.close(0)
        sent = agent.recv(65_536).decode()
    tags = "#event:job_done,program:newsroom,model:claude-x,ok:true,user_bucket:7"
    assert sorted(sent.split()) == sorted(
        [f"byline.event.job_done.shards:3|d|{tags}", f"byline.event:1|c|{tags}"]
    )


def test_the_console_shows_one_readable_line_an_event():
    stream = io.StringIO()
    ConsoleLines(stream).send(
        [event(at=0.0, model=vouch("claude-x"), ok=False, n=None, text=vouch("a\nb"), r=1.50)]
    )
    assert stream.getvalue() == "00:00:00.000 job_done model=claude-x ok=no n=- text='a\\nb' r=1.5\n"


def test_the_file_gets_json_lines_that_only_its_owner_reads(tmp_path):
    sink = NdjsonFile(tmp_path / "events.ndjson")
    sink.send([event(n=1)])
    sink.send([event(n=2), event(n=3)])
    lines = [json.loads(line) for line in (tmp_path / "events.ndjson").read_text().splitlines()]
    assert [line["metadata"]["n"] for line in lines] == [1, 2, 3]
    assert (tmp_path / "events.ndjson").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("text", ["a plain str", personal("ada@example.org")])
def test_no_general_sink_sends_a_string_that_is_not_verified(receiver, source, tmp_path, text):
    wrong = event(text=text)
    for sink in (
        datadog(receiver, source), OtlpLogs(source, endpoint=receiver.url), ConsoleLines(io.StringIO()),
        NdjsonFile(tmp_path / "e"), DogStatsdMetrics(source),
    ):  # fmt: skip
        with pytest.raises(TypeError, match="not for general sinks"):
            sink.send([wrong])
    assert receiver.bodies == []
