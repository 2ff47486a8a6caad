"""Failures on demand, as the official SDKs and a bare socket see them."""

from __future__ import annotations

import http.client
import json
import socket
from typing import Any

import anthropic
import httpx
import openai
import pytest

from byline.testing import SimulatedProvider, SimulationError

STREAMED = {
    "model": "c",
    "max_tokens": 50,
    "stream": True,
    "messages": [{"role": "user", "content": "Hello"}],
}
BLOCKING = STREAMED | {"stream": False}
AUTH = {"x-api-key": "k"}


def ask(provider: SimulatedProvider, body: dict[str, Any], simulate: str = "", path: str = "/v1/messages"):
    headers = AUTH | ({"x-simulate": simulate} if simulate else {})
    return httpx.post(provider.base_url + path, json=body, headers=headers)


def stream(provider: SimulatedProvider, simulate: str, read_s: float = 5):
    url, headers = provider.base_url + "/v1/messages", AUTH | {"x-simulate": simulate}
    return httpx.stream("POST", url, json=STREAMED, headers=headers, timeout=httpx.Timeout(5, read=read_s))


def read_into(buffer: bytearray, answer: httpx.Response) -> None:
    for piece in answer.iter_bytes():
        buffer += piece


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, "invalid_request_error"),
        (401, "authentication_error"),
        (429, "rate_limit_error"),
        (500, "api_error"),
        (529, "overloaded_error"),
    ],
)
def test_errors_have_anthropics_shape(provider, status, kind) -> None:
    answer = ask(provider, BLOCKING, f"status={status}")
    assert answer.status_code == status
    assert answer.json()["error"]["type"] == kind
    assert answer.json()["request_id"] == answer.headers["request-id"]


def test_errors_have_openais_shape(provider) -> None:
    answer = ask(provider, BLOCKING, "status=429; retry-after=7", "/v1/chat/completions")
    assert answer.json()["error"]["code"] == "rate_limit_exceeded"
    assert answer.headers["retry-after"] == "7"
    assert answer.headers["x-request-id"].startswith("req_")


def test_the_sdk_retries_a_queued_overload_and_every_attempt_is_seen(provider) -> None:
    provider.simulate("status=529; retry-after=0.001", times=2)
    with anthropic.Anthropic(base_url=provider.base_url, api_key="k") as client:
        client.messages.create(model="c", max_tokens=9, messages=[{"role": "user", "content": "Hello"}])
    assert [seen.sent_status for seen in provider.requests] == [529, 529, 200]
    assert provider.counted()[None].requests == 3


def test_an_error_event_takes_over_in_mid_stream(provider) -> None:
    answer = ask(provider, STREAMED, "error-after=4")
    assert answer.text.count("event: ") == 5
    assert '"type":"overloaded_error"' in answer.text.rpartition("event: error")[2]
    assert provider.requests[0].reported.output == 1


def test_the_openai_sdk_raises_on_a_failing_chat_stream(provider) -> None:
    provider.simulate("error-after=2; message=out of luck")
    with openai.OpenAI(base_url=provider.openai_base_url, api_key="k", max_retries=0) as client:
        stream = client.chat.completions.create(
            model="g", messages=[{"role": "user", "content": "Hi"}], stream=True
        )
        with stream, pytest.raises(openai.APIError, match="out of luck"):
            list(stream)


def test_a_response_stream_can_end_as_failed(provider) -> None:
    body = {"model": "g", "input": "Hi", "stream": True}
    answer = ask(provider, body, "error-after=3", "/v1/responses")
    assert "event: response.failed" in answer.text


@pytest.mark.parametrize(
    "fault", ["cut=before-headers", "cut=after-headers", "cut-after=3", "cut-after=3; reset"]
)
def test_a_cut_is_visible_to_the_client(provider, fault) -> None:
    with pytest.raises(httpx.TransportError):
        ask(provider, STREAMED, fault)
    assert provider.requests[0].ending == "cut"


def test_what_was_sent_before_a_cut_arrives(provider) -> None:
    arrived = bytearray()
    with stream(provider, "cut-after=3") as answer, pytest.raises(httpx.RemoteProtocolError):
        read_into(arrived, answer)
    assert arrived.count(b"event: ") == 3
    assert arrived == provider.requests[0].sent_body


def test_a_blocking_body_can_be_cut_after_some_bytes(provider) -> None:
    with pytest.raises(httpx.RemoteProtocolError):
        ask(provider, BLOCKING, "cut-after=20")
    assert len(provider.requests[0].sent_body) == 20


def test_a_stalled_stream_is_silent_until_the_client_leaves(provider) -> None:
    with stream(provider, "stall-after=2", read_s=0.2) as answer, pytest.raises(httpx.ReadTimeout):
        answer.read()


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
@pytest.mark.parametrize("body", [STREAMED, BLOCKING])
def test_compressed_answers_decode_to_the_plain_ones(coding, body) -> None:
    with SimulatedProvider() as one, SimulatedProvider() as other:
        plain, squeezed = ask(one, body), ask(other, body, coding)
    assert squeezed.headers["content-encoding"] == coding
    assert squeezed.content == plain.content


def test_any_split_carries_the_same_bytes() -> None:
    answers = []
    for fault in ("", "split=1", "split=7", "close"):
        with SimulatedProvider() as fresh:
            answers.append(ask(fresh, STREAMED, fault).content)
    assert len(set(answers)) == 1


def test_a_lock_step_stream_sends_the_next_event_only_after_a_confirmation(provider) -> None:
    seen: list[str] = []
    with stream(provider, "lock-step; events=3") as answer:
        for line in answer.iter_lines():
            if line.startswith("event: "):
                seen.append(line)
                assert provider.requests[0].sent_body.count(b"event: ") == len(seen)
                provider.confirm()
    assert seen[-1] == "event: message_stop"


def test_a_recording_is_replayed_as_it_is(provider) -> None:
    recording = b'event: message_start\ndata: {"type":"message_start"}\n\ndata: odd\n\n'
    provider.replay(recording, split=5)
    assert ask(provider, STREAMED).content == recording


def test_options_of_the_request_win_over_queued_ones_and_those_over_the_defaults() -> None:
    with SimulatedProvider(simulate="status=500; message=one") as provider:
        provider.simulate("status=529; message=two")
        answer = ask(provider, BLOCKING, "message=three")
    assert (answer.status_code, answer.json()["error"]["message"]) == (529, "three")


def test_counting_tokens_does_not_use_up_a_queued_fault(provider) -> None:
    provider.simulate("status=500")
    assert ask(provider, BLOCKING, path="/v1/messages/count_tokens").status_code == 200
    assert ask(provider, BLOCKING).status_code == 500


def test_token_counts_can_be_dictated(provider) -> None:
    answer = ask(provider, BLOCKING, "tokens=input-uncached:5,cache-read:90,cache-write-1h:3,output:2")
    assert answer.json()["usage"]["cache_creation"]["ephemeral_1h_input_tokens"] == 3
    assert provider.counted()[None].usage.input == 98


def test_usage_can_be_left_out(provider) -> None:
    assert "usage" not in ask(provider, STREAMED, "no-usage").text
    assert ask(provider, BLOCKING, "no-usage", "/v1/chat/completions").json().get("usage") is None
    assert provider.counted()[None].usage.input == 0


@pytest.mark.parametrize(
    ("options", "named"),
    [("colour=red", "colour"), ("status=one", "status"), ("pace=3", "pace=3"), ("tokens=output:x", "tokens")],
)
def test_a_wrong_option_is_refused_by_name(provider, options, named) -> None:
    with pytest.raises(SimulationError, match=named):
        provider.simulate(options)
    answer = ask(provider, BLOCKING, options)
    assert answer.status_code == 400
    assert named in answer.json()["error"]["message"]


@pytest.mark.parametrize(
    ("path", "change", "named"),
    [
        ("/v1/messages", {"metadata": {"user_id": "x" * 257}}, "256"),
        ("/v1/messages", {"metadata": {"user_id": "ann@example.com"}}, "email"),
        ("/v1/messages", {"metadata": {"user_id": "u", "job": "j"}}, "job"),
        ("/v1/messages", {"max_tokens": None}, "max_tokens"),
        ("/v1/chat/completions", {"user": "x" * 65}, "64"),
        ("/v1/responses", {"input": "Hi", "safety_identifier": "x" * 65}, "safety_identifier"),
        ("/v1/responses", {}, "input"),
    ],
)
def test_what_the_real_provider_refuses_is_refused(provider, path, change, named) -> None:
    answer = ask(provider, BLOCKING | change, path=path)
    assert answer.status_code == 400
    assert named in answer.json()["error"]["message"]


def test_a_missing_or_unknown_credential_is_refused() -> None:
    with SimulatedProvider(api_keys={"right"}) as provider:
        url = provider.base_url + "/v1/messages"
        statuses = [
            httpx.post(url, json=BLOCKING, headers=headers).status_code
            for headers in (
                {},
                {"x-api-key": "wrong"},
                {"x-api-key": "right"},
                {"authorization": "Bearer right"},
            )
        ]
    assert statuses == [401, 401, 200, 200]


def test_one_connection_carries_many_requests_and_a_chunked_body(provider) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", provider.port)
    body = json.dumps(BLOCKING).encode()
    for sent in (body, iter([body[:10], body[10:]])):
        connection.request(
            "POST", "/v1/messages?beta=true", sent, AUTH, encode_chunked=not isinstance(sent, bytes)
        )
        assert connection.getresponse().read().startswith(b'{"model"')
    connection.close()
    assert [seen.connection for seen in provider.requests] == [1, 1]
    assert provider.requests[0].body == provider.requests[1].body == body


def test_headers_are_remembered_as_they_were_sent(provider) -> None:
    with socket.create_connection(("127.0.0.1", provider.port)) as raw:
        raw.sendall(
            b"GET /v1/models HTTP/1.1\r\nHost: x\r\nX-API-Key: k\r\nodd-CASE:  spaced \r\nConnection: close\r\n\r\n"
        )
        assert raw.makefile("rb").read().startswith(b"HTTP/1.1 200 OK\r\n")
    assert ("odd-CASE", "spaced") in provider.requests[0].headers
    assert provider.requests[0].header("x-api-key") == "k"


def test_an_expected_continue_is_sent_before_the_body_is_read(provider) -> None:
    with socket.create_connection(("127.0.0.1", provider.port)) as raw:
        raw.sendall(
            b"POST /v1/messages HTTP/1.1\r\nx-api-key: k\r\nexpect: 100-continue\r\ncontent-length: 2\r\n\r\n"
        )
        assert raw.recv(100).startswith(b"HTTP/1.1 100 Continue")
        raw.sendall(b"{}")
        assert raw.recv(1000).startswith(b"HTTP/1.1 400")


def test_bytes_that_are_no_request_are_refused_and_the_connection_ends(provider) -> None:
    with socket.create_connection(("127.0.0.1", provider.port)) as raw:
        raw.sendall(b"NONSENSE\r\n\r\n")
        assert b"400 Bad Request" in raw.makefile("rb").read()


def test_websocket_upgrades_are_declined_at_once(provider) -> None:
    headers = AUTH | {"upgrade": "websocket", "connection": "upgrade"}
    assert httpx.get(provider.base_url + "/v1/responses", headers=headers).status_code == 426


def test_unknown_paths_are_not_found(provider) -> None:
    assert httpx.get(provider.base_url + "/v1/other", headers=AUTH).status_code == 404


def test_a_path_prefix_is_ignored(provider) -> None:
    assert ask(provider, BLOCKING, path="/some/tenant/v1/messages").status_code == 200
