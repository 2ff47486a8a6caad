"""Usage of clients that call the provider directly, down to the ledger."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import anthropic
import openai
import pytest

import byline
from byline.testing import SimulatedProvider

CLAUDE: dict[str, Any] = {
    "model": "claude-sonnet-4-6",
    "max_tokens": 50,
    "messages": [{"role": "user", "content": "Who wrote this?"}],
}
CHAT: dict[str, Any] = {"model": "gpt-5.1", "messages": CLAUDE["messages"]}


@pytest.fixture
def data_dir(tmp_path: Path) -> Iterator[Path]:
    byline.record_usage(data_dir=tmp_path / "data")
    with byline.identify(user="ana", job="nightly"):
        yield tmp_path / "data"


def rows(data_dir: Path) -> list[dict[str, Any]]:
    assert byline.flush_usage(10)
    paths = sorted((data_dir / "journal").glob("client-*.ndjson"))
    return [json.loads(line) for path in paths for line in path.read_text().splitlines()]


def claude(provider: SimulatedProvider, **more: Any) -> anthropic.Anthropic:
    options = {"base_url": provider.base_url, "api_key": "k", "max_retries": 0} | more
    return byline.instrument(anthropic.Anthropic(**options))


def test_a_blocking_call_leaves_a_row(provider, data_dir, monkeypatch):
    monkeypatch.setenv("CLAUDE_CODE_SESSION_ID", "session-7")
    with claude(provider) as client:
        message = client.messages.create(**CLAUDE)
    (row,) = rows(data_dir)
    assert row["source"] == "client"
    assert (row["outcome"], row["http_status"], row["usage_complete"]) == ("ok", 200, True)
    assert (row["user"], row["job"], row["identity_action"]) == ("ana", "nightly", "stamped")
    assert row["metadata_user_id"] == '{"user":"ana","job":"nightly"}'
    assert row["output_tokens"] == message.usage.output_tokens
    assert row["upstream_request_id"] == message._request_id
    assert (row["model_requested"], row["api"]) == ("claude-sonnet-4-6", "messages")
    assert row["claude_code_session_id"] == "session-7"
    assert row["duration_ms"] >= row["ttft_ms"] > 0


def test_streams_leave_one_as_well_and_compression_does_not_matter(provider, data_dir):
    with claude(provider) as client:
        for simulate in ("pace=0ms", "gzip"):
            with client.messages.stream(**CLAUDE, extra_headers={"x-simulate": simulate}) as stream:
                message = stream.get_final_message()
    for row in rows(data_dir):
        assert (row["streaming"], row["outcome"]) == (True, "ok")
        assert row["output_tokens"] == message.usage.output_tokens


def test_openai_and_async_clients_leave_one(provider, data_dir):
    async def call() -> None:
        async with openai.AsyncOpenAI(base_url=provider.openai_base_url, api_key="k") as client:
            byline.instrument(client)
            await client.chat.completions.create(**CHAT)
            async with client.responses.stream(model="gpt-5.1", input="hi") as stream:
                await stream.get_final_response()

    asyncio.run(call())
    assert [(row["api"], row["outcome"], row["output_tokens"] > 0) for row in rows(data_dir)] == [
        ("chat.completions", "ok", True),
        ("responses", "ok", True),
    ]


def test_each_attempt_leaves_one_with_its_status(provider, data_dir):
    provider.simulate("status=529; retry-after=0.001")
    with claude(provider, max_retries=1) as client, client.messages.stream(**CLAUDE) as stream:
        stream.get_final_message()
    assert [(row["outcome"], row["http_status"]) for row in rows(data_dir)] == [
        ("upstream_error", 529),
        ("ok", 200),
    ]


def test_an_answer_left_early_is_told_from_one_cut_off(provider, data_dir):
    with claude(provider) as client:
        with client.messages.create(**CLAUDE, stream=True) as stream:
            next(iter(stream))
        with suppress(Exception):
            list(client.messages.create(**CLAUDE, stream=True, extra_headers={"x-simulate": "cut-after=2"}))
    left, cut = rows(data_dir)
    assert left["outcome"] == "client_disconnect"
    assert cut["outcome"] == "upstream_disconnect"
    assert left.get("usage_complete") is cut.get("usage_complete") is False


def test_what_a_caller_named_itself_is_on_the_row(provider, data_dir):
    with claude(provider) as client:
        client.messages.create(**CLAUDE, metadata={"user_id": "named"})
    (row,) = rows(data_dir)
    assert (row["metadata_user_id"], row["identity_action"]) == ("named", "kept")


def test_what_a_gateway_has_counted_is_left_to_it(provider, data_dir):
    provider.simulate("headers=x-byline-request-id:1")
    with claude(provider) as client:
        client.messages.create(**CLAUDE)
    assert byline.flush_usage(1)
    assert not data_dir.exists()


def test_a_journal_that_cannot_be_written_does_not_break_the_call(provider, tmp_path, caplog):
    (tmp_path / "file").touch()
    byline.record_usage(data_dir=tmp_path / "file")
    with claude(provider) as client:
        assert client.messages.create(**CLAUDE).content
    assert not byline.flush_usage(0.2)
    assert "trying again" in caplog.text


def test_a_gateway_needs_a_key():
    with pytest.raises(ValueError, match="BYLINE_KEY"):
        byline.record_usage(url="http://127.0.0.1:8787")
    with pytest.raises(ValueError, match=r"http://127\.0\.0\.1:8787"):
        byline.record_usage(url="gateway", key="byl_x")


def test_a_program_that_ends_at_once_has_still_recorded(provider, tmp_path):
    program = textwrap.dedent("""
        import anthropic, byline, os
        byline.record_usage()
        client = byline.instrument(anthropic.Anthropic(api_key="k"))
        ask = dict(model="claude-sonnet-4-6", max_tokens=9, messages=[{"role": "user", "content": "hi"}])
        client.messages.create(**ask)
        if child := os.fork():
            os.waitpid(child, 0)
        else:
            client.with_options().messages.create(**ask)
    """)
    environ = {
        "ANTHROPIC_BASE_URL": provider.base_url,
        "BYLINE_DATA_DIR": str(tmp_path),
        "BYLINE_IDENTITY": "ana",
    }
    done = subprocess.run(
        [sys.executable, "-c", program], env=environ, capture_output=True, text=True, check=True
    )
    assert done.stderr == ""
    journal = [
        json.loads(line)
        for path in (tmp_path / "journal").glob("*.ndjson")
        for line in path.read_text().splitlines()
    ]
    assert [row["metadata_user_id"] for row in journal] == ["ana", "ana"]
    assert len({row["request_id"] for row in journal}) == 2


def test_rows_sent_to_a_gateway_are_the_key_owners(gateway, monkeypatch):
    key = gateway.key("recorder")
    monkeypatch.setenv("BYLINE_URL", gateway.base_url)
    monkeypatch.setenv("BYLINE_KEY", key)
    byline.record_usage()
    with (
        byline.identify(user="ana", job="nightly"),
        claude(gateway.provider, api_key="sk-ant-upstream") as client,
    ):
        message = client.messages.create(**CLAUDE)
    assert byline.flush_usage(10)
    (row,) = gateway.settled_rows(1, user="recorder")
    assert (row["job"], row["claimed_user"], row["source"]) == ("nightly", "ana", "client")
    assert row["metadata_user_id"] == '{"user":"ana","job":"nightly"}'
    assert row["output_tokens"] == message.usage.output_tokens
    assert row["cost_status"] == "priced"


def test_a_refused_key_is_said_once_and_nothing_waits(gateway, caplog):
    byline.record_usage(url=gateway.base_url, key="byl_wrong")
    with claude(gateway.provider, api_key="sk-ant-upstream") as client:
        client.messages.create(**CLAUDE)
    assert byline.flush_usage(10)
    assert "401" in caplog.text
    assert "byl_wrong" not in caplog.text
