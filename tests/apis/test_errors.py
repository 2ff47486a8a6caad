"""Errors of Byline's own, as the official clients take them."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import anthropic
import openai
import pytest

from byline.apis.api import Family
from byline.apis.errors import error_body, error_type


def test_an_anthropic_error_has_its_type_and_request_id() -> None:
    body = json.loads(error_body("anthropic", 401, "Unknown key.", request_id="req_1"))
    assert body == {
        "type": "error",
        "error": {"type": "authentication_error", "message": "Unknown key."},
        "request_id": "req_1",
    }


def test_an_openai_error_has_its_code_and_parameter() -> None:
    body = json.loads(error_body("openai", 401, "Unknown key.", request_id="req_1", param="model"))
    assert body == {
        "error": {
            "message": "Unknown key.",
            "type": "invalid_request_error",
            "param": "model",
            "code": "invalid_api_key",
        }
    }


def test_a_kind_of_its_own_replaces_the_type_of_the_status() -> None:
    body = json.loads(error_body("anthropic", 429, "Spent.", kind="billing_error"))
    assert body["error"]["type"] == "billing_error"
    body = json.loads(
        error_body("openai", 429, "Spent.", kind="insufficient_quota", code="insufficient_quota")
    )
    assert (body["error"]["type"], body["error"]["code"]) == ("insufficient_quota", "insufficient_quota")


@pytest.mark.parametrize("family", ["anthropic", "openai"])
@pytest.mark.parametrize(
    "status", [400, 401, 403, 404, 405, 413, 415, 418, 426, 429, 500, 502, 503, 504, 529]
)
def test_every_status_has_a_type(family: Family, status: int) -> None:
    server_side = {"api_error", "overloaded_error", "timeout_error", "server_error"}
    assert (error_type(family, status) in server_side) is (status >= 500)


@pytest.fixture(scope="module")
def refusing() -> Iterator[Any]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            body = error_body("openai" if "chat" in self.path else "anthropic", server.status, "No, and why.")
            self.send_response(server.status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        status = 400

    server = Server(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize("status", [400, 401, 403, 404, 429, 502])
def test_the_official_clients_show_the_message(refusing: Any, status: int) -> None:
    refusing.status = status
    url = f"http://127.0.0.1:{refusing.server_port}"
    ask = [{"role": "user", "content": "x"}]
    with (
        anthropic.Anthropic(base_url=url, api_key="k", max_retries=0) as claude,
        pytest.raises(anthropic.APIStatusError, match="No, and why") as caught,
    ):
        claude.messages.create(model="m", max_tokens=1, messages=ask)  # type: ignore[arg-type]
    assert caught.value.status_code == status
    with (
        openai.OpenAI(base_url=url, api_key="k", max_retries=0) as gpt,
        pytest.raises(openai.APIStatusError, match="No, and why") as refused,
    ):
        gpt.chat.completions.create(model="m", messages=ask)  # type: ignore[arg-type]
    assert refused.value.type == error_type("openai", status)
