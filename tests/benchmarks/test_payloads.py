from __future__ import annotations

import json

import pytest

from benchmarks import payloads


@pytest.mark.parametrize(("size", "tools"), [(payloads.SMALL_BYTES, 1), (payloads.LARGE_BYTES, 18)])
def test_the_mean_body_has_the_size_that_is_stated(size: int, tools: int) -> None:
    request = payloads.messages_request(size, tools=tools, streaming=False, credential="k")
    assert request.mean_body_bytes == size


def test_a_body_is_a_whole_messages_request_with_the_filler_in_the_last_turn() -> None:
    request = payloads.messages_request(payloads.LARGE_BYTES, tools=18, streaming=True, credential="k")
    body = json.loads(request.body_start + "0123" + request.body_end)
    assert body["messages"][-1]["content"][0]["text"].endswith("0123")
    assert json.loads(body["metadata"]["user_id"])["session_id"] == payloads.SESSION
    assert len(body["tools"]) == 18
    assert body["stream"] is True
    assert {turn["role"] for turn in body["messages"]} == {"user", "assistant"}


def test_bodies_that_continue_nothing_differ_in_their_first_result() -> None:
    request = payloads.messages_request(
        payloads.LARGE_BYTES, tools=18, streaming=False, credential="k", continues=False
    )
    body = json.loads(request.body_start + "0123" + request.body_end)
    assert body["messages"][1]["content"][0]["content"].startswith("0123")
    assert request.mean_body_bytes == payloads.LARGE_BYTES


def test_a_body_too_small_for_its_tools_is_refused() -> None:
    with pytest.raises(ValueError, match="no room for 18 tools"):
        payloads.messages_request(payloads.SMALL_BYTES, tools=18, streaming=False, credential="k")
