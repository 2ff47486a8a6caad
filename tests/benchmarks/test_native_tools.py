"""The provider and the load generator must count right before they may judge anything."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from benchmarks import load, native_tools, payloads
from benchmarks.processes import cpu_seconds
from benchmarks.provider import CREDENTIAL, Seen, provider

pytestmark = pytest.mark.skipif(shutil.which("gcc") is None, reason="the tools are compiled with gcc")


@pytest.fixture(scope="module")
def tools(tmp_path_factory: pytest.TempPathFactory) -> native_tools.NativeTools:
    return native_tools.build(tmp_path_factory.mktemp("tools"))


def drive(
    tools: native_tools.NativeTools,
    directory: Path,
    plan: load.Plan,
    *,
    body_bytes: int = payloads.SMALL_BYTES,
    streaming: bool = False,
    **provider_options: object,
) -> tuple[load.Result, Seen]:
    request = payloads.messages_request(body_bytes, tools=1, streaming=streaming, credential=CREDENTIAL)
    request.write(directory / "request")
    with provider(tools, **provider_options) as provided:  # type: ignore[arg-type]
        measured = load.run(
            tools,
            plan,
            request=directory / "request",
            port=provided.port,
            core=0,
            clocks=lambda: cpu_seconds(provided.pid),
        )
        return measured.result, provided.stop()


def test_every_request_that_was_sent_is_seen_and_answered(
    tools: native_tools.NativeTools, tmp_path: Path
) -> None:
    result, seen = drive(tools, tmp_path, load.Plan(8, seconds=0.2, warmup_s=0.05))
    assert result.started == result.completed == seen.requests == seen.with_user_id
    assert result.failed == result.unfinished == 0
    assert 0 < result.requests < result.started
    assert result.latency_us.count == result.requests


def test_large_bodies_arrive_whole(tools: native_tools.NativeTools, tmp_path: Path) -> None:
    result, seen = drive(
        tools, tmp_path, load.Plan(4, seconds=0.2, warmup_s=0), body_bytes=payloads.LARGE_BYTES
    )
    assert result.failed == 0
    assert seen.with_user_id == seen.requests == result.completed


def test_sessions_differ_so_the_user_ids_of_a_plain_forwarder_do_too(
    tools: native_tools.NativeTools, tmp_path: Path
) -> None:
    _, seen = drive(tools, tmp_path, load.Plan(4, seconds=0.2, warmup_s=0))
    assert seen.same_user_id < seen.with_user_id


def test_the_callers_credential_is_found_where_it_should_not_be(
    tools: native_tools.NativeTools, tmp_path: Path
) -> None:
    _, seen = drive(tools, tmp_path, load.Plan(1, seconds=0.1, warmup_s=0), forbidden=CREDENTIAL)
    assert seen.leaked == seen.with_credential == seen.requests


def test_a_fixed_rate_is_held(tools: native_tools.NativeTools, tmp_path: Path) -> None:
    result, _ = drive(tools, tmp_path, load.Plan(8, seconds=0.5, warmup_s=0, rate=400))
    assert result.backlog_s == 0
    assert result.requests == pytest.approx(200, abs=10)


def test_streams_are_counted_event_by_event(tools: native_tools.NativeTools, tmp_path: Path) -> None:
    events = 12
    result, seen = drive(
        tools,
        tmp_path,
        load.Plan(5, seconds=0.3, warmup_s=0, stagger_us=1000),
        streaming=True,
        events=events,
        gap_us=1000,
    )
    assert seen.streams_ended == result.completed
    assert seen.aborted == result.failed == 0
    # The first and the last write of a stream hold no text.
    assert result.events == result.event_delay_us.count
    assert abs(result.events - result.requests * (events - 2)) <= 5 * (events - 2)


def test_markers_are_logged_once_per_request(tools: native_tools.NativeTools, tmp_path: Path) -> None:
    import socket

    markers = tmp_path / "markers"
    body = b'{"marker=0123456789abcdef":1}'
    request = b"POST / HTTP/1.1\r\ncontent-length: %d\r\n\r\n" % len(body) + body
    with provider(tools, markers=markers) as provided:
        with socket.create_connection(("127.0.0.1", provided.port)) as connection:
            for _ in range(3):
                connection.sendall(request)
                assert connection.recv(65536).startswith(b"HTTP/1.1 200 OK\r\n")
            connection.sendall(request[:-1])  # not whole: not seen
        assert provided.stop().requests == 3
    assert markers.read_text().split() == ["0123456789abcdef"] * 3
