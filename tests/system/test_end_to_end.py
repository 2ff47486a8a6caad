"""The whole path over real processes: a client, `byline serve`, a provider, and the rows at the end."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from byline.testing import SeenRequest

# Odd spacing, escapes, a number that doubles can't hold, a look-alike: all must arrive as they are.
ODD = b'"note":  "\\u00e9 \\"user\\": \xc3\xa9",\n"big": 12345678901234567890123, "deep": {"user": "x", "metadata": {"user_id": 1}}'
MESSAGES = (
    b'{"model": "claude-sonnet-4-6", "max_tokens": 60, "stream": %s, "metadata": {"user_id": "forged"}, '
)
MESSAGES += b'"messages": [{"role": "user", "content": "Hello"}], ' + ODD + b"}"
CHAT = b'{"user": "forged", "model": "gpt-5.1", "stream": %s, "stream_options": {"include_usage": true}, '
CHAT += b'"messages": [{"role": "user", "content": "Hello"}], ' + ODD + b"}"
RESPONSES = (
    b'{"model": "gpt-5.1", "safety_identifier":"forged", "stream": %s, "input": "Hello", ' + ODD + b"}"
)
APIS = [("/v1/messages", MESSAGES), ("/v1/chat/completions", CHAT), ("/v1/responses", RESPONSES)]
STREAMED = (b"true", b"false")
# Not end-to-end: how this hop frames the answer.
FRAMING = {"connection", "keep-alive", "transfer-encoding", "content-length"}
RECORDINGS = Path(os.environ.get("BYLINE_RECORDINGS", Path(__file__).parents[3] / "shared" / "recordings"))


@pytest.fixture(scope="module")
def key(gateway) -> str:
    return gateway.key("nadia", job="election")


@pytest.fixture
def client(gateway, key) -> Iterator[httpx.Client]:
    headers = {"authorization": f"Bearer {key}", "content-type": "application/json"}
    with httpx.Client(base_url=gateway.base_url, headers=headers, timeout=20) as client:
        yield client


def last_seen(gateway, answer: httpx.Response) -> SeenRequest:
    name = "request-id" if "request-id" in answer.headers else "x-request-id"
    return next(s for s in gateway.provider.requests if s.request_id == answer.headers[name])


def row_of(gateway, answer: httpx.Response) -> dict[str, Any]:
    rows = gateway.settled_rows(1, where=f"request_id={answer.headers['x-byline-request-id']}")
    return rows[0]


@pytest.mark.parametrize("streaming", STREAMED)
@pytest.mark.parametrize(("path", "body"), APIS)
def test_only_the_identity_changes_on_the_way_out_and_nothing_on_the_way_back(
    gateway, client, path, body, streaming
) -> None:
    sent = body % streaming
    answer = client.post(path, content=sent)
    seen = last_seen(gateway, answer)
    row = row_of(gateway, answer)
    assert answer.content == bytes(seen.sent_body)
    assert seen.body == sent.replace(b'"forged"', json.dumps(row["actor_id"]).encode())
    assert end_to_end(answer.headers.multi_items()) == end_to_end(seen.sent_headers)
    assert (row["user"], row["job"], row["outcome"]) == ("nadia", "election", "ok")
    assert (row["input_tokens"], row["output_tokens"]) == (seen.reported.input, seen.reported.output)
    assert row["client_metadata_user_id"] == "forged"


def end_to_end(headers: Any) -> list[tuple[str, str]]:
    """In their order; the one header that Byline adds left out."""
    return [(name, value) for name, value in headers if name not in FRAMING and name != "x-byline-request-id"]


@pytest.mark.parametrize(("path", "body"), APIS)
def test_an_event_passes_before_the_next_one_is_sent(gateway, client, path, body) -> None:
    events = b""
    headers = {"x-simulate": "lock-step; events=4"}
    with client.stream("POST", path, content=body % b"true", headers=headers) as answer:
        seen = last_seen(gateway, answer)
        for piece in answer.iter_raw():
            events += piece
            if events.endswith(b"\n\n"):
                assert events == bytes(seen.sent_body)
                gateway.provider.confirm()
    assert seen.ending == "complete"
    assert events.count(b"\n\n") > 5


@pytest.mark.parametrize(("path", "body"), APIS)
def test_an_unknown_key_is_refused_in_the_providers_shape_and_nothing_is_sent(gateway, path, body) -> None:
    before = len(gateway.provider.requests)
    stranger = {"authorization": "Bearer byl_" + "a" * 12 + "_" + "b" * 43}
    answer = httpx.post(gateway.base_url + path, content=body % b"false", headers=stranger)
    assert answer.status_code == 401
    assert answer.json()["error"]["type"] in ("authentication_error", "invalid_request_error")
    assert len(gateway.provider.requests) == before


def test_a_client_that_hangs_up_is_still_counted_in_full(gateway, client) -> None:
    headers = {"x-simulate": "pace=5ms; events=40"}
    with client.stream("POST", "/v1/messages", content=MESSAGES % b"true", headers=headers) as answer:
        next(answer.iter_raw())
    row = row_of(gateway, answer)
    seen = last_seen(gateway, answer)
    assert (row["outcome"], row["usage_complete"]) == ("client_disconnect", True)
    assert row["output_tokens"] == seen.reported.output == 40


def test_a_stream_cut_upstream_is_a_cut_for_the_client_and_keeps_what_it_reported(gateway, client) -> None:
    headers = {"x-simulate": "cut-after=4"}
    arrived = bytearray()
    stream = client.stream("POST", "/v1/messages", content=MESSAGES % b"true", headers=headers)
    with stream as answer, pytest.raises(httpx.RemoteProtocolError):
        read_into(arrived, answer)
    row = row_of(gateway, answer)
    seen = last_seen(gateway, answer)
    assert arrived == seen.sent_body
    assert (row["outcome"], row["usage_complete"]) == ("upstream_disconnect", False)
    assert (row["input_tokens"], row["output_tokens"]) == (seen.reported.input, 1)


def read_into(buffer: bytearray, answer: httpx.Response) -> None:
    for piece in answer.iter_raw():
        buffer += piece


@pytest.mark.parametrize(("path", "body"), APIS)
def test_an_upstream_that_ends_before_its_answer_is_a_502_with_a_row(gateway, client, path, body) -> None:
    headers = {"x-simulate": "cut=before-headers"}
    answer = client.post(path, content=body % b"true", headers=headers)
    assert answer.status_code == 502
    assert answer.json()["error"]["message"]
    last = row_of(gateway, answer)
    assert (last["outcome"], last["http_status"]) == ("upstream_error", 502)
    # On a connection that had been used before it was tried again, once, on a fresh one.
    *earlier, _ = gateway.settled_rows(last["attempt"], where=f"exchange_id={last['exchange_id']}")
    assert [row["error_type"] for row in earlier] == ["stale_connection"] * (last["attempt"] - 1)


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
def test_an_answer_compressed_all_the_same_is_relayed_as_it_is_and_counted(gateway, client, coding) -> None:
    headers = {"x-simulate": coding}
    with client.stream("POST", "/v1/messages", content=MESSAGES % b"true", headers=headers) as answer:
        raw = b"".join(answer.iter_raw())
    seen = last_seen(gateway, answer)
    assert raw == bytes(seen.sent_body)
    assert seen.header("accept-encoding") == "identity"
    assert row_of(gateway, answer)["output_tokens"] == seen.reported.output


@pytest.mark.skipif(not RECORDINGS.exists(), reason="no recorded streams here; BYLINE_RECORDINGS names them")
@pytest.mark.parametrize("split", [None, 1000, 37])
def test_recorded_streams_pass_byte_for_byte_and_are_counted(gateway, split) -> None:
    user = f"replayer-{split}"
    headers = {"authorization": f"Bearer {gateway.key(user)}"}
    expected = {}
    paths = {name.removeprefix("/v1/").replace("/", "."): (name, body) for name, body in APIS}
    with httpx.Client(base_url=gateway.base_url, headers=headers, timeout=30) as client:
        for recorded in index():
            path, body = paths[recorded["path"].partition("/")[0]]
            stream = (RECORDINGS / recorded["path"]).read_bytes()
            gateway.provider.replay(stream, split=split)
            answer = client.post(path, content=body % b"true")
            assert answer.content == stream, recorded["path"]
            expected[answer.headers["x-byline-request-id"]] = recorded
    rows = gateway.settled_rows(len(expected), user=user)
    wrong = [told for row in rows if (told := difference(row, expected[row["request_id"]]))]
    assert wrong == []


def index() -> list[dict[str, str]]:
    with (RECORDINGS / "INDEX.tsv").open() as lines:
        return list(csv.DictReader(lines, delimiter="\t"))


def difference(row: dict[str, Any], recorded: dict[str, str]) -> str | None:
    inside = "input_uncached_tokens" if recorded["endpoint"] == "messages" else "input_tokens"
    told = {"input_raw": row[inside], "output": row["output_tokens"]}
    for name, value in told.items():
        if recorded[name] and int(recorded[name]) != value:
            return f"{recorded['path']}: {name} is {recorded[name]}, the row says {value}"
    return None
