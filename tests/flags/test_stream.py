from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest
from tests.flags.conftest import FeatureServer, growthbook_payload, reply

from byline.flags.client import FeatureClient, FeatureOptions
from byline.flags.sources.chunks import ChunkReader
from byline.flags.sources.growthbook_api import GrowthBookApi
from byline.flags.sources.remote_eval import RemoteEval
from byline.flags.sources.source import SourceError

SLOW = FeatureOptions(poll_interval_s=3600)


class Streaming:
    """Answers features at once and holds the stream open; `send` writes to it."""

    def __init__(self, server: FeatureServer, *, chunked: bool) -> None:
        self.features: dict[str, Any] = {"a": {"defaultValue": 1}}
        self.opened = threading.Semaphore(0)
        self.chunked = chunked
        self._handler: BaseHTTPRequestHandler | None = None
        self._server = server
        server.answer = self._answer

    def _answer(self, handler: BaseHTTPRequestHandler) -> None:
        if not handler.path.startswith("/sub/"):
            reply(handler, growthbook_payload(self.features))
            return
        handler.send_response(200)
        handler.send_header("content-type", "text/event-stream; charset=utf-8")
        if self.chunked:
            handler.send_header("transfer-encoding", "chunked")
        handler.end_headers()
        self._handler = handler
        self.opened.release()
        self._server.release.wait(30)

    def send(self, data: bytes) -> None:
        assert self._handler is not None
        self._handler.wfile.write(b"%x\r\n%b\r\n" % (len(data), data) if self.chunked else data)
        self._handler.wfile.flush()

    def send_features(self, features: dict[str, Any]) -> None:
        self.send(b"event: features\ndata: " + growthbook_payload(features) + b"\n\n")


def wait_for_change(client: FeatureClient) -> threading.Event:
    changed = threading.Event()
    client.on_refresh(lambda names: client.value("a", 0) == 2 and changed.set())
    return changed


@pytest.mark.parametrize("chunked", [True, False])
def test_a_payload_in_the_stream_is_taken_at_once_however_it_is_cut(server: FeatureServer, clients, chunked):
    stream = Streaming(server, chunked=chunked)
    client = FeatureClient(GrowthBookApi(server.url, "k", {}, streaming=True), SLOW)
    clients.append(client)
    changed = wait_for_change(client)
    client.start()
    assert stream.opened.acquire(timeout=10)
    stream.send(b": hello\n\n")
    event = b"event: features\r\ndata: " + growthbook_payload({"a": {"defaultValue": 2}}) + b"\r\n\r\n"
    for position in range(0, len(event), 7):
        stream.send(event[position : position + 7])
    assert changed.wait(10)


def test_a_hint_in_the_stream_is_a_reason_to_fetch(server: FeatureServer, clients):
    stream = Streaming(server, chunked=True)
    client = FeatureClient(RemoteEval(server.url, "k", {}, streaming=True), SLOW)
    clients.append(client)
    changed = wait_for_change(client)
    client.start()
    assert stream.opened.acquire(timeout=10)
    stream.features = {"a": {"defaultValue": 2}}
    stream.send(b"event: features-updated\ndata: {}\n\n")
    assert changed.wait(10)
    assert server.requests == ["/api/eval/k", "/sub/k", "/api/eval/k"]


def test_a_late_subscriber_doesnt_wait_for_the_stream(server: FeatureServer, clients):
    stream = Streaming(server, chunked=True)
    client = FeatureClient(GrowthBookApi(server.url, "k", {}, streaming=True), SLOW)
    clients.append(client)
    client.start()
    assert stream.opened.acquire(timeout=10)
    called = threading.Event()
    client.on_refresh(lambda names: called.set())
    assert called.wait(10)


@pytest.mark.parametrize("event", [b"{", b"[]", b'{"features":{}}', b"x" * 600_000])
def test_a_bad_event_is_refused_and_the_stream_goes_on(server: FeatureServer, clients, event, monkeypatch):
    monkeypatch.setattr("byline.flags.refresh.MIN_SPACING_S", 0.0)
    stream = Streaming(server, chunked=False)
    client = FeatureClient(GrowthBookApi(server.url, "k", {}, streaming=True), SLOW)
    clients.append(client)
    changed = wait_for_change(client)
    client.start()
    assert stream.opened.acquire(timeout=10)
    stream.send(b"event: features\ndata: " + event + b"\n\n")
    stream.send_features({"a": {"defaultValue": 2}})
    assert changed.wait(10)


def test_a_stream_that_closes_in_a_loop_is_opened_ever_more_rarely(server: FeatureServer):
    def close(handler: BaseHTTPRequestHandler) -> None:
        if handler.path.startswith("/sub/"):
            handler.send_response(200)
            handler.send_header("content-type", "text/event-stream")
            handler.end_headers()
        else:
            reply(handler, growthbook_payload({"a": {"defaultValue": 1}}))

    server.answer = close
    client = FeatureClient(GrowthBookApi(server.url, "k", {}, streaming=True), SLOW)
    now = [0.0]
    refresher = client.refresher
    refresher._clock = lambda: now[0]
    while now[0] < 3500:
        refresher._step()
        if refresher._stream is not None:
            refresher_socket = refresher._stream.socket
            refresher_socket.setblocking(True)
            assert refresher_socket.recv(1) == b""
            refresher_socket.setblocking(False)
        else:
            now[0] = refresher._next_at()
    opened = [path for path in server.requests if path.startswith("/sub/")]
    assert 5 <= len(opened) <= 30


@pytest.mark.parametrize("status", [200, 404, 500])
def test_what_is_no_stream_is_not_read(server: FeatureServer, status):
    server.answer = lambda handler: reply(handler, json.dumps({"no": "stream"}).encode(), status=status)
    client = FeatureClient(GrowthBookApi(server.url, "k", {}, streaming=True), SLOW)
    client.refresher._step()
    assert client.refresher._stream is None
    assert client.refresher._reopen_at > 0


def test_chunks_are_read_however_they_are_cut():
    wire = b"5;name=value\r\nhello\r\n1\r\n \r\n5\r\nworld\r\n0\r\n\r\n"
    for size in range(1, len(wire)):
        reader = ChunkReader()
        plain = b"".join(reader.feed(wire[at : at + size]) for at in range(0, len(wire), size))
        assert (plain, reader.ended) == (b"hello world", True)


@pytest.mark.parametrize("wire", [b"zz\r\n", b"1" * 5000, b"\r\nx"])
def test_what_is_no_chunk_ends_the_stream(wire):
    with pytest.raises(SourceError):
        ChunkReader().feed(wire)
