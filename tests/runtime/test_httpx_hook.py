"""HTTP clients of both libraries, as other packages use them."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx
import httpx2
import pytest

import byline

IDENTITY = '{"user": "ana", "job": "nightly-1208"}'
MESSAGE: dict[str, Any] = {
    "model": "claude-sonnet-4-6",
    "max_tokens": 50,
    "messages": [{"role": "user", "content": "\u00e9"}],
}
KEY = {"x-api-key": "k"}
LIBRARIES = pytest.mark.parametrize("library", [httpx, httpx2], ids=["httpx", "httpx2"])


@pytest.fixture(autouse=True)
def identity(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BYLINE_IDENTITY", IDENTITY)


@LIBRARIES
def test_the_identity_is_cut_into_the_body_and_all_else_stays(provider, library):
    body = json.dumps(MESSAGE, indent=2).encode()
    with byline.instrument(library.Client(base_url=provider.base_url, headers=KEY)) as client:
        answer = client.post("/v1/messages", content=body, headers={"content-type": "application/json"})
    (seen,) = provider.requests
    assert answer.status_code == 200
    assert seen.json() == {**MESSAGE, "metadata": {"user_id": IDENTITY}}
    assert body.rstrip(b"\n}") in seen.body
    assert seen.header("content-length") == str(len(seen.body))


@LIBRARIES
def test_async_clients_and_streams(provider, library):
    async def call() -> bytes:
        client = library.AsyncClient(base_url=provider.base_url, headers=KEY)
        async with (
            byline.instrument(client),
            client.stream("POST", "/v1/messages", json={**MESSAGE, "stream": True}) as answer,
        ):
            return await answer.aread()

    assert b"message_stop" in asyncio.run(call())
    assert provider.requests[0].identity == IDENTITY


@LIBRARIES
def test_openai_paths(provider, library):
    headers = {"authorization": "Bearer k"}
    with byline.instrument(library.Client(base_url=provider.openai_base_url, headers=headers)) as client:
        client.post("/chat/completions", json={"model": "gpt-5.1", "messages": MESSAGE["messages"]})
        client.post("/responses", json={"model": "gpt-5.1", "input": "hi"})
    assert [seen.identity for seen in provider.requests] == [IDENTITY, IDENTITY]


@LIBRARIES
def test_a_batch_gets_one_each(provider, library):
    with byline.instrument(library.Client(base_url=provider.base_url, headers=KEY)) as client:
        client.post("/v1/messages/batches", json={"requests": [{"custom_id": "1", "params": MESSAGE}]})
    assert provider.requests[0].json()["requests"][0]["params"]["metadata"] == {"user_id": IDENTITY}


@LIBRARIES
@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/messages/count_tokens", json.dumps(MESSAGE).encode()),
        ("/model/claude/invoke", json.dumps(MESSAGE).encode()),
        ("/v1/messages", b"{broken"),
        ("/v1/messages", b""),
        ("/anything", b"{}"),
    ],
)
def test_everything_else_is_left_as_it_is(provider, library, path, body):
    with byline.instrument(library.Client(base_url=provider.base_url, headers=KEY)) as client:
        client.post(path, content=body)
    assert provider.requests[0].body == body


@LIBRARIES
def test_usage_is_recorded(provider, library, tmp_path):
    byline.record_usage(data_dir=tmp_path)
    with byline.instrument(library.Client(base_url=provider.base_url, headers=KEY)) as client:
        answer = client.post("/v1/messages", json=MESSAGE).json()
    assert byline.flush_usage(10)
    (path,) = (tmp_path / "journal").glob("*.ndjson")
    row = json.loads(path.read_text())
    assert (row["metadata_user_id"], row["identity_action"]) == (IDENTITY, "stamped")
    assert row["output_tokens"] == answer["usage"]["output_tokens"]


@LIBRARIES
def test_once_is_enough_and_it_can_be_undone(provider, library):
    with byline.instrument(library.Client(base_url=provider.base_url, headers=KEY)) as client:
        byline.instrument(client)
        assert len(client.event_hooks["response"]) == 1
        byline.uninstrument(client)
        assert type(client) is library.Client
        assert client.event_hooks["response"] == []
        client.post("/v1/messages", json=MESSAGE)
    assert provider.requests[0].identity is None
