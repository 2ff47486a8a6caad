"""The meters read out of recorded streams what the official clients read out of the same bytes."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import anthropic
import openai
import pytest

from byline.apis import chat_completions, messages, responses
from byline.apis.api import Api, Reading

APIS: dict[str, Api] = {"messages": messages, "chat.completions": chat_completions, "responses": responses}


def read(api: Api, pieces: list[bytes], *, finish: bool = True) -> Reading:
    meter = api.meter(streaming=True)
    for piece in pieces:
        meter.feed(piece)
    if finish:
        meter.finish()
    return meter.reading()


def pieces_of(body: bytes, seed: int) -> list[bytes]:
    chance = random.Random(seed)
    places = sorted(chance.randrange(len(body)) for _ in range(chance.randrange(1, 40)))
    return [body[a:b] for a, b in zip([0, *places], [*places, len(body)], strict=True)]


def splits(body: bytes) -> dict[str, list[bytes]]:
    crlf, cr = body.replace(b"\n", b"\r\n"), body.replace(b"\n", b"\r")
    return {
        "whole": [body],
        "by event": [event + b"\n\n" for event in body.split(b"\n\n")],
        "single bytes": [body[n : n + 1] for n in range(len(body))],
        "single bytes, CRLF": [crlf[n : n + 1] for n in range(len(crlf))],
        "CRLF": [crlf],
        "CR": pieces_of(cr, 1),
        **{f"random {seed}": pieces_of(body, seed) for seed in range(5)},
        **{f"random {seed}, CRLF": pieces_of(crlf, seed) for seed in range(5)},
    }


def number(text: str) -> int | None:
    return int(text) if text else None


def test_a_recorded_stream_reads_the_same_in_every_split(recording: Any) -> None:
    expected, api = recording.expected, APIS[recording.endpoint]
    for name, pieces in splits(recording.body).items():
        found = read(api, pieces)
        assert found.model_reported == expected["model"], name
        assert (found.finish_reason or "") == expected["finish"], name
        if expected["sdk_exception"]:
            assert found.error_type, name
            continue
        assert found.error_type is None, name
        assert found.usage_complete, name
        # Anthropic's own input count leaves the cache out, OpenAI's includes it.
        own_input = found.input_uncached_tokens if api is messages else found.total_input_tokens()
        counts = {
            "input_raw": own_input,
            "output": found.output_tokens,
            "cache_read": found.cache_read_tokens,
            "cache_write": found.cache_write_tokens,
            "cw_5m": found.cache_write_5m_tokens,
            "cw_1h": found.cache_write_1h_tokens,
            "reasoning": found.reasoning_tokens,
            "web_search": found.web_search_requests,
            "iterations": len(found.iterations) if found.iterations else None,
        }
        assert counts == {key: number(expected[key]) for key in counts}, name


def test_a_recorded_stream_that_breaks_off_is_not_complete(recording: Any) -> None:
    body = recording.body
    found = read(APIS[recording.endpoint], [body[: len(body) // 3]], finish=False)
    assert not found.usage_complete


@pytest.fixture(scope="module")
def served() -> Iterator[Any]:
    """A server that answers every POST with the stream put into it."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            self.send_response(200)
            self.send_header("content-type", "text/event-stream")
            self.send_header("content-length", str(len(server.body)))
            self.end_headers()
            self.wfile.write(server.body)

        def log_message(self, *_: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        body = b""
        url = ""

    server = Server(("127.0.0.1", 0), Handler)
    server.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def usage_by_anthropic(url: str) -> dict[str, int | None]:
    with (
        anthropic.Anthropic(base_url=url, api_key="k", max_retries=0) as client,
        client.messages.stream(
            model="m", max_tokens=1, messages=[{"role": "user", "content": "x"}]
        ) as stream,
    ):
        usage = stream.get_final_message().usage
    return {
        "uncached": usage.input_tokens,
        "read": usage.cache_read_input_tokens,
        "written": usage.cache_creation_input_tokens,
        "output": usage.output_tokens,
    }


def usage_by_openai_chat(url: str) -> dict[str, int | None]:
    last: Any = None
    with openai.OpenAI(base_url=url, api_key="k", max_retries=0) as client:
        chunks = client.chat.completions.create(
            model="m", messages=[{"role": "user", "content": "x"}], stream=True
        )
        for chunk in chunks:
            last = chunk.usage or last
    return {
        "input": last and last.prompt_tokens,
        "output": last and last.completion_tokens,
        "read": last and last.prompt_tokens_details and last.prompt_tokens_details.cached_tokens,
    }


def usage_by_openai_responses(url: str) -> dict[str, int | None]:
    with openai.OpenAI(base_url=url, api_key="k", max_retries=0) as client:
        events = list(client.responses.create(model="m", input="x", stream=True))
    closing: Any = next(event for event in events if event.type == "response.completed")
    usage = closing.response.usage
    return {
        "input": usage.input_tokens,
        "output": usage.output_tokens,
        "read": usage.input_tokens_details.cached_tokens,
        "reasoning": usage.output_tokens_details.reasoning_tokens,
    }


OFFICIAL = {
    "messages": usage_by_anthropic,
    "chat.completions": usage_by_openai_chat,
    "responses": usage_by_openai_responses,
}


def test_a_meter_and_the_official_client_agree(recording: Any, served: Any) -> None:
    served.body = recording.body
    found = read(APIS[recording.endpoint], [recording.body])
    if recording.expected["sdk_exception"]:
        assert found.error_type
        with pytest.raises(openai.APIError):
            OFFICIAL[recording.endpoint](served.url)
        return
    official = OFFICIAL[recording.endpoint](served.url)
    ours = {
        "uncached": found.input_uncached_tokens,
        "input": found.total_input_tokens(),
        "read": found.cache_read_tokens,
        "written": found.cache_write_tokens,
        "output": found.output_tokens,
        "reasoning": found.reasoning_tokens,
    }
    assert {key: ours[key] for key in official} == official
