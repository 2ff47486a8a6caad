from __future__ import annotations

import gzip
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from tests.gateway.conftest import Rig, receive_answer, request


def usage(**more: Any) -> dict[str, Any]:
    return {
        "request_id": "call-1",
        "exchange_id": "call-1",
        "started_at": datetime.now(UTC).isoformat(),
        "provider": "anthropic",
        "api": "messages",
        "outcome": "ok",
        "input_tokens": 25,
        "output_tokens": 12,
    } | more


def event(**more: Any) -> dict[str, Any]:
    occurred_at = datetime.now(UTC).isoformat()
    return {"event_id": "event-1", "event_name": "job_started", "occurred_at": occurred_at} | more


def ndjson(*lines: Any) -> bytes:
    return b"\n".join(line if isinstance(line, bytes) else json.dumps(line).encode() for line in lines)


def send(rig: Rig, body: bytes, path: str = "/byline/v1/usage", **more: str) -> tuple[int, dict[str, Any]]:
    more = {"key": rig.key} | more
    with rig.connect() as connection:
        connection.sendall(request(path, body, **more))
        head, answer = receive_answer(connection)
    return int(head.split()[1]), json.loads(answer)


def entries(rig: Rig, kind: str) -> list[dict[str, Any]]:
    rig.stop()
    lines = [
        line for path in (rig.data_dir / "journal").glob("*.ndjson") for line in path.read_text().splitlines()
    ]
    return [found for line in lines if (found := json.loads(line))["entry"] == kind]


def test_a_row_is_the_key_owners_whatever_it_says(rig):
    forged = {
        "user": "boss",
        "actor_id": "boss",
        "key_id": "x",
        "team": "board",
        "cost_usd": "0",
        "source": "gateway",
    }
    assert send(rig, ndjson(usage(**forged, claimed_user="boss", claimed_job="nightly"))) == (
        200,
        {"accepted": 1, "refused": 0, "errors": []},
    )
    (row,) = rig.rows()
    assert (row["user"], row["team"], row["job"], row["source"]) == ("ada", "core", "nightly", "client")
    assert (row["claimed_user"], row["claimed_job"]) == ("boss", "nightly")
    assert (row["input_tokens"], row["output_tokens"]) == (25, 12)
    assert row["actor_id"] != "boss"
    assert "cost_usd" not in row


def test_a_delegating_key_names_the_user(rig):
    key = rig.known_key("backend", may_claim_user=True)
    send(rig, ndjson(usage(claimed_user="ben")), key=key)
    (row,) = rig.rows()
    assert row["user"] == "ben"


def test_a_bound_job_wins(rig):
    key = rig.known_key("bot", job="nightly")
    send(rig, ndjson(usage(claimed_job="other")), key=key)
    (row,) = rig.rows()
    assert (row["job"], row["claimed_job"]) == ("nightly", "other")


def test_the_same_id_is_the_same_row_for_one_sender_and_another_one_for_another(rig):
    send(rig, ndjson(usage()))
    send(rig, ndjson(usage()))
    send(rig, ndjson(usage()), key=rig.known_key("ben"))
    first, again, others = (row["request_id"] for row in rig.rows())
    assert first == again != others
    assert first != "call-1"


def test_bad_lines_are_refused_one_by_one(rig):
    long_ago = (datetime.now(UTC) - timedelta(days=800)).isoformat()
    bad = [
        b"{not json",
        b"[]",
        usage(api="telepathy"),
        usage(input_tokens=-1),
        usage(started_at="2026-01-01T00:00:00"),
        usage(started_at=long_ago),
        usage(request_id="a b"),
        {"request_id": "x"},
    ]
    status, answer = send(rig, ndjson(*bad, usage()))
    assert (status, answer["accepted"], answer["refused"]) == (200, 1, len(bad))
    assert [complaint["line"] for complaint in answer["errors"]] == list(range(1, len(bad) + 1))
    assert "api" in answer["errors"][2]["error"]
    assert len(rig.rows()) == 1


def test_events_are_attributed_and_keep_their_metadata(rig):
    sent = event(
        user="boss", job="nightly", metadata={"shards": 12, "ok": True}, pii_name="Ada", sample_rate=0.5
    )
    assert send(rig, ndjson(sent), "/byline/v1/events")[1]["accepted"] == 1
    (row,) = entries(rig, "event")
    assert (row["user"], row["job"], row["source"]) == ("ada", "nightly", "client")
    assert row["metadata"] == {"shards": 12, "ok": True}
    assert (row["pii_name"], row["sample_rate"], row["event_id"]) == ("Ada", 0.5, "event-1")
    assert row["received_at"] >= row["occurred_at"][:19]


@pytest.mark.parametrize(
    "more", [{"metadata": {"nested": {}}}, {"metadata": []}, {"pii_Bad-Name": "x"}, {"pii_count": 3}]
)
def test_events_of_another_shape_are_refused(rig, more):
    assert send(rig, ndjson(event(**more)), "/byline/v1/events")[1]["refused"] == 1
    assert entries(rig, "event") == []


@pytest.mark.parametrize("path", ["/byline/v1/usage", "/byline/v1/events"])
def test_a_key_is_required(rig, path):
    status, answer = send(rig, ndjson(usage()), path, key="sk-ant-somebody")
    assert status == 401
    assert "Byline key" in answer["error"]["message"]
    assert rig.rows() == []


def test_too_much_at_once_is_refused_and_leaves_no_row(rig):
    assert send(rig, b"{}\n" * 5001)[0] == 413
    with rig.connect() as connection:
        head = f"POST /byline/v1/usage HTTP/1.1\r\nhost: x\r\nx-api-key: {rig.key}\r\ncontent-length: 5000000\r\n\r\n"
        connection.sendall(head.encode())
        assert receive_answer(connection)[0].split()[1] == b"413"
    assert rig.rows() == []


def test_compressed_lines_are_taken(rig):
    body = gzip.compress(ndjson(usage(), usage(request_id="call-2")))
    assert send(rig, body, extra="content-encoding: gzip\r\n")[1]["accepted"] == 2


def test_other_paths_and_methods_are_not_served(rig):
    assert send(rig, b"{}", "/byline/v1/keys")[0] == 404
    assert send(rig, b"", method="GET")[0] == 404


@pytest.mark.parametrize("member", [b'"pii_a":"\xff"', b'"z\xff":1'])
def test_a_line_that_is_no_utf8_is_refused_alone(rig, member):
    bad = ndjson(event(event_id="bad"))[:-1] + b"," + member + b"}"
    status, answer = send(rig, ndjson(event(), bad, event(event_id="e2")), "/byline/v1/events")
    assert (status, answer["accepted"], answer["refused"]) == (200, 2, 1)


def test_a_chunked_batch_is_held_to_the_same_size(rig):
    piece = b"1000\r\n" + b" " * 4096 + b"\r\n"
    with rig.connect() as connection:
        connection.sendall(
            request("/byline/v1/usage", b"", key=rig.key, extra="Transfer-Encoding: chunked\r\n")
            + piece * 1100
            + b"0\r\n\r\n"
        )
        assert receive_answer(connection)[0].startswith(b"HTTP/1.1 413")
