"""Running the provider: in an event loop, from plain code, as a process."""

from __future__ import annotations

import asyncio
import re
import signal
import subprocess
import sys

import httpx
import pytest

from byline.testing import SimulatedProvider

BODY = {"model": "g", "messages": [{"role": "user", "content": "Hello"}], "user": "u1"}
AUTH = {"authorization": "Bearer k"}


def test_it_runs_inside_an_event_loop() -> None:
    async def ask() -> int:
        async with SimulatedProvider() as provider, httpx.AsyncClient() as client:
            answer = await client.post(
                provider.openai_base_url + "/chat/completions", json=BODY, headers=AUTH
            )
            assert provider.counted()["u1"].requests == 1
            return answer.status_code

    assert asyncio.run(ask()) == 200


def test_closing_it_ends_streams_that_are_still_open() -> None:
    headers = AUTH | {"x-simulate": "stall-after=1"}
    with SimulatedProvider() as provider:
        url = provider.openai_base_url + "/chat/completions"
        client = httpx.Client()
        request = client.build_request("POST", url, json=BODY | {"stream": True}, headers=headers)
        answer = client.send(request, stream=True)
    with pytest.raises(httpx.TransportError):
        answer.read()
    client.close()


def test_it_says_when_it_is_not_running() -> None:
    with pytest.raises(RuntimeError, match="not running"):
        _ = SimulatedProvider().base_url


def test_the_same_seed_answers_alike_and_another_one_differently() -> None:
    def words(seed: int) -> str:
        with SimulatedProvider(seed=seed) as provider:
            answer = httpx.post(provider.openai_base_url + "/chat/completions", json=BODY, headers=AUTH)
        return answer.json()["choices"][0]["message"]["content"]

    assert words(1) == words(1) != words(2)


def test_identity_and_stream_options_do_not_change_the_count(provider) -> None:
    url = provider.openai_base_url + "/chat/completions"
    asked = {"stream": True, "stream_options": {"include_usage": True}}
    for change in (asked | {"user": "somebody else"}, asked):
        httpx.post(url, json=BODY | change, headers=AUTH)
    first, second = provider.counted().values()
    assert first.usage == second.usage


def test_as_a_process_it_takes_orders_and_tells_what_it_saw() -> None:
    command = [sys.executable, "-m", "byline.testing.provider", "--seed", "3"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        base_url = re.search(r"http://\S+", process.stdout.readline())[0]
        with httpx.Client(base_url=base_url) as client:
            order = client.post("/_simulate/next", json={"options": "status=529", "times": 1})
            statuses = [
                client.post("/v1/chat/completions", json=BODY, headers=AUTH).status_code for _ in range(2)
            ]
            seen = client.get("/_simulate/requests").json()
            counted = client.get("/_simulate/counted").json()
            wrong = client.post("/_simulate/next", json={"options": "nonsense=1"})
            client.post("/_simulate/reset")
            assert client.get("/_simulate/requests").json() == []
        process.send_signal(signal.SIGINT)
    assert (order.status_code, statuses, process.returncode) == (200, [529, 200], 0)
    assert [one["sent_status"] for one in seen] == [529, 200]
    assert [(one["identity"], one["requests"]) for one in counted] == [("u1", 2)]
    assert "nonsense" in wrong.json()["error"]


def test_a_lock_step_stream_can_be_confirmed_over_http(provider) -> None:
    headers = AUTH | {"x-simulate": "lock-step; events=2"}
    url = provider.openai_base_url + "/chat/completions"
    with httpx.stream("POST", url, json=BODY | {"stream": True}, headers=headers) as answer:
        chunks = 0
        for line in answer.iter_lines():
            if line.startswith("data: "):
                chunks += 1
                httpx.post(provider.base_url + "/_simulate/confirm")
    assert chunks == 5
