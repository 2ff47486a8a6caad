"""What `byline.instrument` adds to a call, beside the SDK's own time.

Each call is made against a transport that answers at once, in this process: no socket, so that the
difference isn't lost in the network's. A plain and an instrumented client take turns call by call, and
what is compared is the median CPU time of each. What the SDK itself spends on the longer body counts.

    python -m benchmarks.instrument [--calls 3000]
"""

from __future__ import annotations

import argparse
import gc
import os
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import anthropic
import httpx2
import openai

import byline

MESSAGES: list[Any] = [{"role": "user", "content": "Who wrote this?"}]
MESSAGE = b"""{"id":"msg_1","type":"message","role":"assistant","model":"claude-sonnet-4-6","stop_reason":"end_turn",
"stop_sequence":null,"content":[{"type":"text","text":"Ana"}],"usage":{"input_tokens":25,"output_tokens":12}}"""
CHAT = b"""{"id":"c_1","object":"chat.completion","created":1,"model":"gpt-5.1","choices":[{"index":0,"finish_reason":"stop",
"message":{"role":"assistant","content":"Ana"}}],"usage":{"prompt_tokens":25,"completion_tokens":12,"total_tokens":37}}"""
LIMIT_US = 20.0


@dataclass(frozen=True)
class Case:
    name: str
    make: Callable[[], Any]
    call: Callable[[Any], object]


def _answering(body: bytes) -> httpx2.Client:
    headers = {"content-type": "application/json", "request-id": "req_1"}
    return httpx2.Client(
        transport=httpx2.MockTransport(lambda _: httpx2.Response(200, headers=headers, content=body))
    )


def _claude() -> anthropic.Anthropic:
    return anthropic.Anthropic(api_key="k", http_client=_answering(MESSAGE))


def _gpt() -> openai.OpenAI:
    return openai.OpenAI(api_key="k", http_client=_answering(CHAT))


CASES = (
    Case(
        "anthropic messages.create",
        _claude,
        lambda client: client.messages.create(model="claude-sonnet-4-6", max_tokens=50, messages=MESSAGES),
    ),
    Case(
        "openai chat.completions.create",
        _gpt,
        lambda client: client.chat.completions.create(model="gpt-5.1", messages=MESSAGES),
    ),
)


def main() -> None:
    parser = argparse.ArgumentParser(description="What byline.instrument adds to a call.")
    parser.add_argument("--calls", type=int, default=3000, help="calls of each client")
    options = parser.parse_args()
    os.environ["BYLINE_IDENTITY"] = '{"user": "ana", "job": "nightly-1208"}'
    print(f"{'call':34} {'plain':>10} {'instrumented':>13} {'added':>9}   (median CPU per call)")
    for case in CASES:
        plain, added = measure(case, options.calls)
        verdict = "ok" if added < LIMIT_US else f"over {LIMIT_US:.0f} us"
        print(f"{case.name:34} {plain:7.1f} us {plain + added:10.1f} us {added:6.1f} us   {verdict}")


def measure(case: Case, calls: int) -> tuple[float, float]:
    """Microseconds of CPU: a plain call's, and what instrumentation adds to it."""
    clients = case.make(), byline.instrument(case.make())
    times: tuple[list[int], list[int]] = [], []
    gc.disable()
    for number in range(calls):
        for client, spent in zip(clients, times, strict=True):
            began = time.thread_time_ns()
            case.call(client)
            spent.append(time.thread_time_ns() - began)
        if number % 100 == 0:
            gc.collect()
    gc.enable()
    plain, instrumented = (statistics.median(spent) / 1000 for spent in times)
    return plain, instrumented - plain


if __name__ == "__main__":
    main()
