"""What `byline.instrument` adds to a call, beside the SDK's own time.

Each call is made against a transport that answers at once, in this process: no socket, so that the
difference isn't lost in the network's. Its answers have a provider's usual headers, with counts of what
remains that change from call to call. A plain and an instrumented client take turns call by call, and
what is compared is the median CPU time of each. What the SDK itself spends on the longer body counts.

The mean is shown as well: kept headers are read in heaps, so that one call in some dozens takes longer.

    python -m benchmarks.instrument [--calls 3000]
"""

from __future__ import annotations

import argparse
import gc
import itertools
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
RESET = "2026-11-21T23:11:08Z"
CLAUDE_HEADERS = {
    "anthropic-organization-id": "0b2d3c1e",
    "anthropic-ratelimit-requests-limit": "4000",
    "anthropic-ratelimit-requests-reset": RESET,
    "anthropic-ratelimit-tokens-limit": "2000000",
    "anthropic-ratelimit-tokens-remaining": "1999000",
    "anthropic-ratelimit-tokens-reset": RESET,
    "cf-ray": "9a1b2c3d4e5f-FRA",
    "content-type": "application/json",
    "request-id": "req_1",
    "server": "cloudflare",
}
GPT_HEADERS = {
    "cf-ray": "9a1b2c3d4e5f-FRA",
    "content-type": "application/json",
    "openai-organization": "org",
    "openai-processing-ms": "512",
    "openai-version": "2020-10-01",
    "x-ratelimit-limit-requests": "10000",
    "x-ratelimit-limit-tokens": "30000000",
    "x-ratelimit-remaining-tokens": "29999000",
    "x-ratelimit-reset-requests": "6ms",
    "x-ratelimit-reset-tokens": "2ms",
    "x-request-id": "req_1",
}
LIMIT_US = 20.0


@dataclass(frozen=True)
class Case:
    name: str
    make: Callable[[], Any]
    call: Callable[[Any], object]


def _answering(body: bytes, headers: dict[str, str], counted: str) -> httpx2.Client:
    counts = itertools.count()

    def answer(_: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200, headers={**headers, counted: str(next(counts))}, content=body)

    return httpx2.Client(transport=httpx2.MockTransport(answer))


def _claude() -> anthropic.Anthropic:
    answering = _answering(MESSAGE, CLAUDE_HEADERS, "anthropic-ratelimit-requests-remaining")
    return anthropic.Anthropic(api_key="k", http_client=answering)


def _gpt() -> openai.OpenAI:
    return openai.OpenAI(
        api_key="k", http_client=_answering(CHAT, GPT_HEADERS, "x-ratelimit-remaining-requests")
    )


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
    print(f"{'call':32} {'plain':>9} {'instrumented':>13} {'added':>9} {'mean':>8}   (median CPU per call)")
    for case in CASES:
        plain, added, mean = measure(case, options.calls)
        verdict = "ok" if added < LIMIT_US else f"over {LIMIT_US:.0f} us"
        print(
            f"{case.name:32} {plain:6.1f} us {plain + added:10.1f} us {added:6.1f} us {mean:5.1f} us   {verdict}"
        )


def measure(case: Case, calls: int) -> tuple[float, float, float]:
    """Microseconds of CPU: a plain call's median, what instrumentation adds to it, and to the mean."""
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
    mean_plain, mean_instrumented = (statistics.fmean(spent) / 1000 for spent in times)
    return plain, instrumented - plain, mean_instrumented - mean_plain


if __name__ == "__main__":
    main()
