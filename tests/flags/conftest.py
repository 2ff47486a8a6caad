"""A source that answers what a test says, and a real HTTP server that behaves as badly as told."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Generator, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from byline.flags.client import FeatureClient
from byline.flags.payload import parse_payload
from byline.flags.snapshot import Evaluated, Exposure
from byline.flags.sources.source import Fetched, SourceError

CASES = Path(__file__).parents[3] / "shared" / "growthbook-cases.json"


class ScriptedSource:
    """`values` are what the next fetch brings; None fails it. Same values again: nothing new."""

    name = "the script"
    stream = None

    def __init__(self, **values: Any) -> None:
        self.values: dict[str, Any] | None = values
        self.exposures: dict[str, tuple[Exposure, ...]] = {}
        self.fetches = 0
        self.fetched = threading.Semaphore(0)

    def fetch(self, validator: str | None) -> Fetched | None:
        self.fetches += 1
        try:
            if self.values is None:
                raise SourceError("the script fails")
            version = json.dumps([self.values, sorted(self.exposures)], sort_keys=True)
            if version == validator:
                return None
            features = {
                name: Evaluated(value, exposures=self.exposures.get(name, ()))
                for name, value in self.values.items()
            }
            return Fetched(features, version)
        finally:
            self.fetched.release()

    def read_event(self, data: bytes) -> Fetched:
        raise AssertionError("there is no stream")


def load(client: FeatureClient, values: dict[str, Any], **exposures: tuple[Exposure, ...]) -> None:
    """What a fetch brings, without thread and source."""
    features = {name: Evaluated(value, exposures=exposures.get(name, ())) for name, value in values.items()}
    client.fetched(Fetched(features), client.fetching())


def exposure(feature: str, variation: int = 1) -> Exposure:
    return Exposure(feature, f"exp-{feature}", variation, str(variation))


def growthbook_payload(features: dict[str, Any], **more: Any) -> bytes:
    return json.dumps({"features": features, **more}).encode()


def parsed(features: dict[str, Any], **more: Any) -> Any:
    return parse_payload(growthbook_payload(features, **more))


class FeatureServer:
    """`answer` handles each request; `requests` are the paths that came."""

    def __init__(self) -> None:
        self.requests: list[str] = []
        self.bodies: list[bytes] = []
        self.headers: list[dict[str, str]] = []
        self.release = threading.Event()
        self.asked = threading.Semaphore(0)
        self.answer: Callable[[BaseHTTPRequestHandler], None] = lambda handler: handler.send_error(500)
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                self._take(b"")

            def do_POST(self) -> None:
                self._take(self.rfile.read(int(self.headers["content-length"])))

            def _take(self, body: bytes) -> None:
                outer.requests.append(self.path)
                outer.bodies.append(body)
                outer.headers.append({name.lower(): value for name, value in self.headers.items()})
                outer.asked.release()
                self.close_connection = True
                outer.answer(self)

            def log_message(self, *args: object) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, request: object, client_address: object) -> None:
                """Clients that go away are part of the tests."""

        self._server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    def serve(self, features: dict[str, Any], *, etag: str = '"1"', **more: Any) -> None:
        self.answer = lambda handler: reply(handler, growthbook_payload(features, **more), etag=etag)

    def close(self) -> None:
        self.release.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def reply(handler: BaseHTTPRequestHandler, body: bytes, *, etag: str = "", status: int = 200) -> None:
    if etag and handler.headers.get("if-none-match") == etag:
        status, body = 304, b""
    handler.send_response(status)
    handler.send_header("content-type", "application/json")
    if etag:
        handler.send_header("etag", etag)
    handler.send_header("content-length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body)


@pytest.fixture
def server() -> Generator[FeatureServer]:
    running = FeatureServer()
    yield running
    running.close()


@pytest.fixture
def clients() -> Iterator[list[FeatureClient]]:
    """Those put in are stopped and waited for at the end."""
    opened: list[FeatureClient] = []
    yield opened
    for client in opened:
        client.close()
    for client in opened:
        client.refresher.join(20)
