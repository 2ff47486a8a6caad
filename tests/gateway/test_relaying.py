"""Bytes in, bytes out: what travels, in which order, and what never does."""

from __future__ import annotations

import gc
import gzip
import json
import socket
import threading
import zlib
from collections.abc import Callable

import pytest
import zstandard
from tests.gateway.conftest import Rig, dechunk, receive_answer, receive_until, request
from tests.gateway.upstream_script import OK, Captured, answer

from byline.apis.request import RequestScan
from byline.gateway.exchange import Exchange

BODY = b'{ "model":"m", "big":12345678901234567890123, "esc":"\\u00e9\\/", "metadata":{"user_id":"forged","k":1} }'


def identifier_of(rig: Rig) -> str:
    return str(json.loads(rig.upstream.seen[-1].body)["metadata"]["user_id"])


def test_a_request_arrives_with_our_credential_and_identity_and_every_other_byte_as_sent(rig: Rig) -> None:
    with rig.connect() as client:
        client.sendall(
            request(body=BODY, key=rig.key, extra="anthropic-version: 2023-06-01\r\nX-App:cli\r\n")
        )
        head, body = receive_answer(client)
    seen = rig.upstream.seen[0]
    assert seen.headers[b"x-api-key"] == b"sk-ant-ours"
    assert b"X-App:cli" in seen.head.split(b"\r\n")
    assert seen.headers[b"anthropic-version"] == b"2023-06-01"
    assert rig.key.encode() not in seen.head + seen.body
    identifier = identifier_of(rig)
    assert identifier.startswith("usr_")
    assert seen.body == BODY.replace(b'"forged"', json.dumps(identifier).encode())
    assert head.startswith(b"HTTP/1.1 200 OK")
    assert body == b'{"id":"msg_1","type":"message","usage":{"input_tokens":3,"output_tokens":2}}'


def test_a_status_is_told_as_the_provider_put_it(rig: Rig) -> None:
    rig.upstream.scripts.insert(0, answer(head=OK.replace(b"200 OK", b"200 Fine")))
    with rig.connect() as client:
        client.sendall(request(body=BODY, key=rig.key))
        assert receive_answer(client)[0].startswith(b"HTTP/1.1 200 Fine\r\n")


def test_the_row_says_who_used_what(rig: Rig) -> None:
    with rig.connect() as client:
        client.sendall(request(body=BODY, key=rig.key))
        receive_answer(client)
    identifier = identifier_of(rig)
    (row,) = rig.rows()
    assert (row["user"], row["team"], row["email"], row["auth_source"]) == (
        "ada",
        "core",
        "ada@example.com",
        "key",
    )
    assert (row["identifier"], row["metadata_user_id"], row["identity_action"]) == (
        identifier,
        identifier,
        "replaced",
    )
    assert row["client_metadata_user_id"] == "forged"
    assert (row["input_tokens"], row["output_tokens"], row["outcome"]) == (3, 2, "ok")
    assert (row["upstream_request_id"], row["response_id"], row["http_status"]) == ("req_1", "msg_1", 200)


@pytest.mark.parametrize(
    ("path", "field"), [("/v1/chat/completions", "user"), ("/v1/responses", "safety_identifier")]
)
def test_openai_calls_carry_the_identifier_in_their_own_field(rig: Rig, path: str, field: str) -> None:
    with rig.connect() as client:
        client.sendall(
            request(
                path,
                b'{"model":"m","user":"me","safety_identifier":"me"}',
                key=rig.key,
                header="authorization: Bearer"[:13],
            ).replace(b"authorization: ", b"authorization: Bearer ")
        )
        receive_answer(client)
    body = json.loads(rig.upstream.seen[0].body)
    assert body[field].startswith("usr_")
    assert body["user"] == body["safety_identifier"] == body[field]
    assert rig.upstream.seen[0].headers[b"authorization"] == b"Bearer sk-oai-ours"


def test_an_unknown_key_is_refused_and_nothing_goes_upstream(rig: Rig) -> None:
    wrong = rig.key[:-4] + "AAAA"
    with rig.connect() as client:
        client.sendall(request(key=wrong))
        head, body = receive_answer(client)
    assert head.startswith(b"HTTP/1.1 401 ")
    assert json.loads(body)["error"]["type"] == "authentication_error"
    assert json.loads(body)["request_id"].encode() in head
    assert rig.upstream.seen == []
    assert rig.rows() == []


def test_end_to_end_headers_of_the_answer_travel_back_and_hop_by_hop_ones_do_not(rig: Rig) -> None:
    rig.upstream.scripts = [
        answer(
            b"{}",
            OK
            + b"anthropic-ratelimit-unified-status: allowed\r\nSet-Cookie: a=b\r\nKeep-Alive: timeout=5\r\nretry-after: 3\r\nX-Private: p\r\nConnection: keep-alive, x-private\r\n",
        )
    ]
    with rig.connect() as client:
        client.sendall(request(key=rig.key))
        head, _ = receive_answer(client)
    for kept in (
        b"anthropic-ratelimit-unified-status: allowed",
        b"Set-Cookie: a=b",
        b"retry-after: 3",
        b"request-id: req_1",
    ):
        assert kept in head
    assert b"x-byline-request-id: " in head
    assert b"keep-alive" not in head.lower()
    assert b"x-private" not in head.lower()


def test_forwarding_identity_and_cookie_headers_never_travel_upstream(rig: Rig) -> None:
    extra = "Cookie: a=b\r\nForwarded: for=1.2.3.4\r\nX-Forwarded-For: 1.2.3.4\r\nX-Forwarded-User: eve\r\nX-Byline-Job: nightly\r\nVia: x\r\nProxy-Authorization: Basic eA==\r\nOpenAI-Organization: theirs\r\ntraceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\nTE: trailers\r\nConnection: x-drop-me\r\nX-Drop-Me: y\r\nAccept-Encoding: br\r\n"
    with rig.connect() as client:
        client.sendall(request(key=rig.key, extra=extra))
        receive_answer(client)
    headers = rig.upstream.seen[0].headers
    assert set(headers) == {b"host", b"x-api-key", b"accept-encoding", b"content-length"}
    assert headers[b"accept-encoding"] == b"identity"
    (row,) = rig.rows()
    assert row["claimed_job"] == row["job"] == "nightly"
    assert (row["trace_id"], row["parent_span_id"]) == (
        "0af7651916cd43dd8448eb211c80319c",
        "b7ad6b7169203331",
    )


def test_with_x_byline_key_the_clients_own_credential_travels_unchanged(rig: Rig) -> None:
    extra = f"X-Byline-Key: {rig.key}\r\nanthropic-workspace-id: w\r\n"
    with rig.connect() as client:
        client.sendall(request(body=BODY, key="sk-ant-mine", extra=extra))
        receive_answer(client)
    seen = rig.upstream.seen[0]
    assert seen.headers[b"x-api-key"] == b"sk-ant-mine"
    assert seen.headers[b"anthropic-workspace-id"] == b"w"
    assert b"x-byline-key" not in seen.headers
    assert seen.body == BODY  # keep is the policy there
    (row,) = rig.rows()
    assert (row["credential"], row["identity_action"], row["user"]) == ("client", "kept", "ada")


@pytest.mark.parametrize(
    ("encoding", "encode"),
    [("gzip", gzip.compress), ("deflate", zlib.compress), ("zstd", lambda body: zstandard.compress(body))],
)
def test_encoded_request_bodies_are_stamped_and_sent_plain(
    rig: Rig, encoding: str, encode: Callable[[bytes], bytes]
) -> None:
    with rig.connect() as client:
        client.sendall(request(body=encode(BODY), key=rig.key, extra=f"Content-Encoding: {encoding}\r\n"))
        receive_answer(client)
    assert identifier_of(rig).startswith("usr_")
    assert b"content-encoding" not in rig.upstream.seen[0].headers


def test_an_unknown_content_encoding_gets_415(rig: Rig) -> None:
    with rig.connect() as client:
        client.sendall(request(body=b"xx", key=rig.key, extra="Content-Encoding: br\r\n"))
        head, _ = receive_answer(client)
    assert b" 415 " in head
    assert rig.upstream.seen == []


def test_a_compressed_bomb_is_refused_within_the_body_limit(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig(BYLINE_GATEWAY__MAX_BODY_BYTES="100KB")
    with rig.connect() as client:
        client.sendall(
            request(body=gzip.compress(b" " * 5_000_000), key=rig.key, extra="Content-Encoding: gzip\r\n")
        )
        head, _ = receive_answer(client)
    assert b" 413 " in head


def test_chunked_request_bodies_are_joined_and_sent_with_a_length(rig: Rig) -> None:
    half = len(BODY) // 2
    chunks = b"%x\r\n%s\r\n%x\r\n%s\r\n0\r\n\r\n" % (half, BODY[:half], len(BODY) - half, BODY[half:])
    with rig.connect() as client:
        head = request(body=b"", key=rig.key, extra="Transfer-Encoding: chunked\r\n")
        for position in range(0, len(chunks), 7):
            client.sendall((head if not position else b"") + chunks[position : position + 7])
        receive_answer(client)
    assert json.loads(rig.upstream.seen[0].body)["big"] == 12345678901234567890123


def test_pipelined_requests_are_answered_in_order(rig: Rig) -> None:
    rig.upstream.scripts = [answer(b'{"n":%d}' % number) for number in range(5)]
    with rig.connect() as client:
        client.sendall(b"".join(request(key=rig.key) for _ in range(5)))
        assert [receive_one(client)["n"] for _ in range(5)] == [0, 1, 2, 3, 4]
    assert len(rig.rows()) == 5


def receive_one(client: socket.socket) -> dict[str, int]:
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += client.recv(1)
    length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
    return json.loads(client.recv(length, socket.MSG_WAITALL))


def test_100_continue_is_sent_only_to_a_caller_we_know(rig: Rig) -> None:
    head = request(body=b"", key=rig.key, extra=f"Content-Length: {len(BODY)}\r\nExpect: 100-continue\r\n")
    with rig.connect() as client:
        client.sendall(head)
        assert receive_until(client, b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.sendall(BODY)
        assert receive_answer(client)[0].startswith(b"HTTP/1.1 200")
    with rig.connect() as client:
        client.sendall(head.replace(rig.key.encode(), rig.key[:-3].encode() + b"AAA"))
        assert receive_until(client, b"\r\n\r\n").startswith(b"HTTP/1.1 401")


def test_a_client_may_close_its_sending_side_and_still_get_the_answer(rig: Rig) -> None:
    with rig.connect() as client:
        client.sendall(request(key=rig.key))
        client.shutdown(socket.SHUT_WR)
        assert receive_answer(client)[0].startswith(b"HTTP/1.1 200")
        assert client.recv(10) == b""
    assert rig.rows()[0]["outcome"] == "ok"


def test_http_1_0_clients_get_a_stream_that_ends_with_the_connection(rig: Rig) -> None:
    rig.upstream.scripts = [
        lambda seen: seen.connection.sendall(
            OK + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
        )
    ]
    with rig.connect() as client:
        client.sendall(request(key=rig.key).replace(b"HTTP/1.1", b"HTTP/1.0"))
        data = receive_until(client, b"never")
    assert data.endswith(b"\r\n\r\nabcde")
    assert b"chunked" not in data


@pytest.mark.parametrize("probe", [b"HEAD / HTTP/1.1", b"HEAD /api/hello HTTP/1.1", b"GET /healthz HTTP/1.1"])
def test_probes_are_answered_without_a_key_and_without_a_row(rig: Rig, probe: bytes) -> None:
    with rig.connect() as client:
        client.sendall(probe + b"\r\nHost: gateway\r\n\r\n")
        assert receive_until(client, b"\r\n\r\n").startswith(b"HTTP/1.1 200 OK")
    assert rig.rows() == []


def test_readyz_names_what_is_degraded(rig: Rig) -> None:
    with rig.connect() as client:
        client.sendall(b"GET /readyz HTTP/1.1\r\nHost: gateway\r\n\r\n")
        head, body = receive_answer(client)
    assert head.startswith(b"HTTP/1.1 200")
    assert json.loads(body) == {"ready": True, "degraded": []}


def test_upgrades_get_426_at_once(rig: Rig) -> None:
    with rig.connect() as client:
        client.sendall(
            b"GET /v1/responses HTTP/1.1\r\nHost: g\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
        )
        assert receive_until(client, b"\r\n\r\n").startswith(b"HTTP/1.1 426 Upgrade Required")
    assert rig.upstream.seen == []


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/v1/messages/batches", b"403"),
        ("/v1/realtime", b"403"),
        ("/v1/files", b"404"),
    ],
)
def test_paths_that_are_not_listed_are_refused_clearly(rig: Rig, path: str, status: bytes) -> None:
    with rig.connect() as client:
        client.sendall(request(path, key=rig.key))
        head, body = receive_answer(client)
    assert head.split(b" ")[1] == status
    assert b"allow_paths" in body
    assert rig.upstream.seen == []
    assert rig.rows()[0]["outcome"] == "rejected"


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", "/v1/messages", "POST"),
        ("DELETE", "/v1/messages", "POST"),
        ("TRACE", "/v1/messages", "POST"),
        ("GET", "/anthropic/v1/messages/count_tokens", "POST"),
        ("GET", "/v1/chat/completions", "POST"),
        ("PUT", "/openai/v1/responses", "POST"),
        ("POST", "/v1/models", "GET"),
        ("DELETE", "/v1/models/gpt-5.1", "GET"),
    ],
)
def test_a_wrong_method_on_a_served_path_is_a_405_that_names_the_right_one(
    rig: Rig, method: str, path: str, allowed: str
) -> None:
    with rig.connect() as client:
        client.sendall(request(path, b"", key=rig.key, method=method))
        head, body = receive_answer(client)
    assert head.startswith(b"HTTP/1.1 405 Method Not Allowed\r\n")
    assert f"\r\nallow: {allowed}\r\n".encode() in head
    error = json.loads(body)["error"]
    assert error["type"] == "invalid_request_error"
    assert error["message"] == f"this path is served for {allowed}, not for {method}"
    assert rig.upstream.seen == []
    assert rig.rows()[0]["outcome"] == "rejected"


def test_an_operator_may_let_further_methods_of_a_served_path_through(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig(BYLINE_PROVIDERS__OPENAI__ALLOW_PATHS="/v1/chat/completions")
    with rig.connect() as client:
        client.sendall(request("/v1/chat/completions", b"", key=rig.key, method="GET"))
        assert receive_answer(client)[0].startswith(b"HTTP/1.1 200 ")
        client.sendall(request("/v1/chat/completions", b"", key=rig.key, method="TRACE"))
        assert receive_answer(client)[0].startswith(b"HTTP/1.1 405 ")
    assert len(rig.upstream.seen) == 1


@pytest.mark.parametrize(
    ("path", "blames_the_base_url"),
    [
        ("/v1/embeddings", False),
        ("/openai/v1/embeddings", False),
        ("/v1/responses/resp_1", False),
        ("/chat/completions", True),
        ("/openai/chat/completions", True),
        ("/v1/v1/messages", True),
    ],
)
def test_a_base_url_is_blamed_only_where_it_is_wrong(rig: Rig, path: str, blames_the_base_url: bool) -> None:
    with rig.connect() as client:
        client.sendall(request(path, key=rig.key))
        head, body = receive_answer(client)
    assert head.startswith(b"HTTP/1.1 404 ")
    message = json.loads(body)["error"]["message"]
    assert ("base URL" in message) == blames_the_base_url
    assert "allow_paths" in message
    assert rig.upstream.seen == []


def test_our_own_paths_say_nothing_of_providers(rig: Rig) -> None:
    with rig.connect() as client:
        client.sendall(request("/byline/v1/usage", b"", key=rig.key, method="GET"))
        head, body = receive_answer(client)
    assert head.startswith(b"HTTP/1.1 404 ")
    assert json.loads(body)["error"]["message"] == "nothing is served at this path with this method"


@pytest.mark.parametrize(
    "path",
    [
        "/v1//messages",
        "/v1/../v1/messages",
        "/v1/files/..",
        "/v1/files/.",
        "/v1/files/./x",
        "/v1/files/..;/batches",
        "/v1/files/..;a=b/batches",
        "/v1/files/.;/batches",
        "/v1/files/a;b",
        "/v1/files/;/batches",
        "/v1/files\\..\\batches",
        "/v1/files/..\\batches",
        "/v1/files%2f..%2fbatches",
        "/v1/files/%2E%2e/batches",
        "/v1/files/.%2e/batches",
        "/v1/files%5c..%5Cbatches",
        "/v1/files/..%3b/batches",
        "/v1/files/%252e%252e/batches",
        "/v1/files/..%252fbatches",
        "/v1/files/%c0%ae%c0%ae/batches",
        "/v1/files/..%c0%afbatches",
        "/v1/files/a%00.txt",
        "/v1/files/a%0d%0aX-Injected:%20b",
        "/v1/files/a%09b",
        "/v1/files/a%7fb",
        "/v1/files/%u002e%u002e/batches",
        "/v1/files/%zz",
        "/v1/files/a%2",
        "/v1/files/a%",
    ],
)
def test_a_path_that_could_be_read_two_ways_is_a_clear_400_even_where_all_beneath_it_is_listed(
    make_rig: Callable[..., Rig], path: str
) -> None:
    rig = make_rig(BYLINE_PROVIDERS__OPENAI__ALLOW_PATHS="/v1/files*,/v1//*,/v1/..*")
    with rig.connect() as client:
        client.sendall(request(f"/openai{path}", key=rig.key))
        head, body = receive_answer(client)
    assert head.startswith(b"HTTP/1.1 400 ")
    assert b"servers read this path in different ways" in body
    assert rig.upstream.seen == []
    assert [(row["outcome"], row["error_type"]) for row in rig.rows()] == [("rejected", "invalid_request")]


@pytest.mark.parametrize(
    "path",
    ["/v1/files/a..b", "/v1/files/.hidden", "/v1/files/...", "/v1/files/caf%C3%A9%20au%20lait:1@2,3(4)"],
)
def test_dots_and_escapes_that_mean_one_thing_pass(make_rig: Callable[..., Rig], path: str) -> None:
    rig = make_rig(BYLINE_PROVIDERS__OPENAI__ALLOW_PATHS="/v1/files*")
    with rig.connect() as client:
        client.sendall(request(f"/openai{path}", key=rig.key))
        assert receive_answer(client)[0].startswith(b"HTTP/1.1 200 ")
    assert rig.upstream.seen[0].head.startswith(f"POST {path} HTTP/1.1".encode())


def test_listed_paths_pass_through_attributed_and_unchanged(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig(BYLINE_PROVIDERS__ANTHROPIC__ALLOW_PATHS="/v1/files*")
    with rig.connect() as client:
        client.sendall(request("/anthropic/v1/files/abc?x=1", b"\x00\x01raw", key=rig.key))
        receive_answer(client)
    assert rig.upstream.seen[0].head.startswith(b"POST /v1/files/abc?x=1 HTTP/1.1")
    assert rig.upstream.seen[0].body == b"\x00\x01raw"
    (row,) = rig.rows()
    assert (row["api"], row["user"], row.get("identity_action", "none")) == (
        "other",
        "ada",
        "none",
    )


def test_background_responses_are_refused(rig: Rig) -> None:
    with rig.connect() as client:
        client.sendall(request("/v1/responses", b'{"model":"m","background":true}', key=rig.key))
        head, body = receive_answer(client)
    assert b" 400 " in head
    assert b"background" in body
    assert rig.upstream.seen == []


@pytest.mark.parametrize(
    "body",
    [
        b'{"model":"a","model":"b"}',
        b'{"metadata":{"user_id":"a"},"metadata":{}}',
        b'{"metadata":{"user_id":"a","user_\\u0069d":"b"}}',
        b"\xef\xbb\xbf{}",
        b"[]",
        b'{"model":"\xff"}',
        b"{",
        b"",
    ],
)
def test_bodies_that_could_be_read_differently_get_a_400_in_the_providers_shape(
    rig: Rig, body: bytes
) -> None:
    with rig.connect() as client:
        client.sendall(request(body=body, key=rig.key, extra="Content-Length: 0\r\n" if not body else ""))
        head, answer_body = receive_answer(client)
    assert b" 400 " in head
    assert json.loads(answer_body)["error"]["type"] == "invalid_request_error"
    assert rig.upstream.seen == []
    (row,) = rig.rows()
    assert (row["outcome"], row["user"]) == ("rejected", "ada")
    assert "input_tokens" not in row


def test_two_keys_of_different_actors_are_a_401(rig: Rig) -> None:
    other = rig.known_key("bob")
    with rig.connect() as client:
        client.sendall(request(key=rig.key, extra=f"Authorization: Bearer {other}\r\n"))
        assert receive_answer(client)[0].startswith(b"HTTP/1.1 401")
    assert rig.upstream.seen == []


def lock_step(count: int, confirmed: threading.Semaphore) -> Callable[[Captured], None]:
    def script(seen: Captured) -> None:
        seen.connection.sendall(
            OK.replace(b"application/json", b"text/event-stream") + b"Transfer-Encoding: chunked\r\n\r\n"
        )
        for number in range(count):
            event = b'event: ping\ndata: {"type":"ping","n":%d}\n\n' % number
            seen.connection.sendall(b"%x\r\n%s\r\n" % (len(event), event))
            assert confirmed.acquire(timeout=10)
        seen.connection.sendall(b"0\r\n\r\n")

    return script


@pytest.mark.parametrize("path", ["/v1/messages", "/v1/chat/completions", "/v1/responses"])
def test_streams_are_not_buffered(rig: Rig, path: str) -> None:
    """The provider sends event n+1 only after the client has confirmed event n."""
    confirmed = threading.Semaphore(0)
    rig.upstream.scripts = [lock_step(20, confirmed)]
    with rig.connect() as client:
        client.sendall(request(path, b'{"model":"m","stream":true}', key=rig.key))
        data = b""
        for number in range(20):
            while b'"n":%d}\n\n' % number not in data:
                piece = client.recv(65_536)
                assert piece
                data += piece
            confirmed.release()
        while not data.endswith(b"0\r\n\r\n"):
            data += client.recv(65_536)
    assert dechunk(data.partition(b"\r\n\r\n")[2]).count(b"event: ping") == 20


def test_a_byline_key_goes_upstream_in_no_header_and_no_query(rig: Rig) -> None:
    with rig.connect() as client:
        client.sendall(request(key=rig.key, extra=f"api-key: {rig.key}\r\nX-Note: Key {rig.key}\r\n"))
        assert receive_answer(client)[0].startswith(b"HTTP/1.1 200")
        client.sendall(request(f"/v1/messages?key={rig.key}", key=rig.key))
        assert receive_answer(client)[0].startswith(b"HTTP/1.1 400")
    (seen,) = rig.upstream.seen
    assert rig.key.encode() not in seen.head


def test_methods_that_would_show_our_credential_are_never_sent(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig(BYLINE_PROVIDERS__OPENAI__ALLOW_PATHS="/v1/files*")
    for method in ("TRACE", "CONNECT"):
        with rig.connect() as client:
            client.sendall(request("/openai/v1/files/a", b"", key=rig.key, method=method))
            assert receive_until(client, b"\r\n").split()[1] in {b"404", b"426"}
    assert rig.upstream.seen == []


def test_the_length_of_an_answer_to_head_is_the_providers(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig(BYLINE_PROVIDERS__OPENAI__ALLOW_PATHS="/v1/files*")
    rig.upstream.scripts = [lambda seen: seen.connection.sendall(OK + b"Content-Length: 1234\r\n\r\n")]
    with rig.connect() as client:
        for _ in range(2):
            client.sendall(request("/openai/v1/files/a", b"", key=rig.key, method="HEAD"))
            assert b"content-length: 1234" in receive_until(client, b"\r\n\r\n")
    assert [seen.number for seen in rig.upstream.seen] == [0, 0]


def test_no_body_is_held_while_its_answer_streams(rig: Rig) -> None:
    go_on = threading.Event()

    def stream(seen: Captured) -> None:
        seen.connection.sendall(OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n")
        assert go_on.wait(10)
        seen.connection.sendall(b"0\r\n\r\n")

    rig.upstream.scripts = [stream]
    with rig.connect() as client:
        client.sendall(
            request(key=rig.key, body=b'{"model":"m","messages":"' + bytes(range(97, 100)) * 30_000 + b'"}')
        )
        assert b"first" in receive_until(client, b"first")
        (under_way,) = [
            found for found in gc.get_objects() if isinstance(found, Exchange) and found.in_flight is not None
        ]
        assert under_way.request is None
        assert isinstance(under_way.facts, RequestScan)
        assert under_way.facts.model == "m"
        assert under_way.facts.body.source == b""
        go_on.set()
        receive_until(client, b"0\r\n\r\n")
