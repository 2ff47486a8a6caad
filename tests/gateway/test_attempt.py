"""What an attempt puts on its row of its own time."""

from __future__ import annotations

import os
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest

from byline.apis import messages
from byline.apis.api import Meter, Reading
from byline.apis.meter import AnswerMeter
from byline.gateway.attempt import Attempt
from byline.gateway.attempt_columns import open_columns
from byline.gateway.attempt_row import Surroundings
from byline.gateway.drains import DrainLimits, Drains
from byline.gateway.exchange import Clock, Exchange, Tally, UpstreamRequest
from byline.gateway.forwarding import Forwarder
from byline.gateway.http1.reply_writer import ReplyWriter
from byline.gateway.turn import Turn
from byline.gateway.upstream.connection import Timeouts, UpstreamConnection
from byline.usage.record import AttemptColumns

TURN = Turn(lambda run: run(), Clock(lambda: 1.8e9, lambda: 100.0))
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
EVENT = b'f\r\ndata: {"a":1}\n\n\r\n'
STEP_S = 0.001


class Ticking:
    """Each look at it takes a millisecond; what else passes is told."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        self.now += STEP_S
        return self.now


class Wire:
    """Stands for the transport to the provider."""

    def __init__(self) -> None:
        self._pipe = os.pipe()

    def get_extra_info(self, name: str) -> Any:
        return self

    def fileno(self) -> int:
        return self._pipe[0]

    def write(self, data: bytes) -> None: ...
    def is_closing(self) -> bool:
        return False

    def get_write_buffer_size(self) -> int:
        return 0

    def abort(self) -> None:
        for end in self._pipe:
            os.close(end)

    close = abort


class Client(ReplyWriter):
    peer_address = "127.0.0.1"

    def start(self, status: int, reason: bytes, lines: list[bytes], length: int | None) -> None:
        self.begin(status, reason, lines, length, close=False)

    def chunk_sink(self) -> Callable[[bytes], None]:
        return self.pieces.append

    def flush(self) -> None:
        self.take()

    def cut(self) -> None: ...
    def end(self) -> None: ...


class Deaf:
    """Reads nothing out of an answer."""

    def wants(self, events: bytes) -> bool:
        return False

    def read_end(self) -> None: ...
    def reading(self) -> Reading:
        return Reading()


class Rows:
    def __init__(self) -> None:
        self.written: list[AttemptColumns] = []

    def append_end(self, record: AttemptColumns, known: bytes) -> None:
        self.written.append(record)


def under_way(
    clock: Ticking, rows: Rows, tally: Tally, api: Any = messages, head: bytes = HEAD
) -> tuple[Exchange, UpstreamConnection]:
    """A stream that two events of have come."""
    provider = SimpleNamespace(family="anthropic", name="anthropic")
    exchange = cast("Any", Exchange)(
        None, Client(), "anthropic", Clock(lambda: 1.8e9, clock), clock.now, clock.now, open_columns(1.8e9, None),
        route=SimpleNamespace(api=api, provider=provider), request=UpstreamRequest(b"POST", ()),
    )  # fmt: skip
    known = cast("Any", SimpleNamespace(members=b"", record=SimpleNamespace(provider="anthropic")))
    around = Surroundings(rows, Drains(DrainLimits(timeout_s=0), clock), tally, TURN)
    attempt = Attempt(exchange, exchange.columns, known, around, cast("Any", None))
    exchange.in_flight = attempt
    connection = UpstreamConnection(lambda _: None, Timeouts(), clock)
    connection.connection_made(cast("Any", Wire()))
    attempt.send_on(connection)
    for read in (head, EVENT, EVENT):
        connection.data_received(read)
    return exchange, connection


@pytest.mark.parametrize("waited_s", [0.0, 60.0])
def test_what_passes_until_a_client_hangs_up_is_no_overhead(waited_s: float) -> None:
    clock, rows = Ticking(), Rows()
    exchange, _ = under_way(clock, rows, Tally())
    clock.now += waited_s
    exchange.client_gone()
    (row,) = rows.written
    assert row.outcome == "client_disconnect"
    assert row.overhead_us is not None
    assert 4_000 <= row.overhead_us < 20_000, "a look before sending, and after each of three reads"
    assert row.duration_ms is not None
    assert row.duration_ms >= waited_s * 1e3


@pytest.mark.parametrize("waited_s", [0.0, 60.0])
def test_what_passes_between_events_is_no_overhead(waited_s: float) -> None:
    clock, rows = Ticking(), Rows()
    _, connection = under_way(clock, rows, Tally())
    clock.now += waited_s
    connection.data_received(b"0\r\n\r\n")
    (row,) = rows.written
    assert row.outcome == "ok"
    assert row.overhead_us is not None
    assert 4_000 <= row.overhead_us < 20_000
    connection.close()


def test_what_passes_until_a_body_without_length_ends_is_no_overhead() -> None:
    clock, rows = Ticking(), Rows()
    _, connection = under_way(
        clock, rows, Tally(), head=HEAD.replace(b"Transfer-Encoding: chunked", b"Connection: close")
    )
    clock.now += 60
    connection.eof_received()
    (row,) = rows.written
    assert row.outcome == "ok"
    assert row.overhead_us is not None
    assert 4_000 <= row.overhead_us < 20_000


def test_what_a_stale_connection_cost_is_no_overhead_of_the_second_attempt() -> None:
    class Unwritten:
        def append_start(self, record: object, then: object, on_refused: object, known: bytes) -> None: ...
        def flush(self) -> None: ...

    clock, rows = Ticking(), Rows()
    exchange, connection = under_way(clock, rows, Tally())
    clock.now += 60
    again = Forwarder(Unwritten(), Surroundings(rows, Drains(DrainLimits(), clock), Tally(), TURN))
    exchange.known_columns = cast(
        "Any", SimpleNamespace(members=b"", record=SimpleNamespace(provider="anthropic"))
    )
    exchange.request = UpstreamRequest(b"POST", ())
    again.send_again(exchange)
    connection.close()
    second = UpstreamConnection(lambda _: None, Timeouts(), clock)
    second.connection_made(cast("Any", Wire()))
    cast("Attempt", exchange.in_flight).send_on(second)
    second.data_received(HEAD)
    second.data_received(b"0\r\n\r\n")
    (row,) = rows.written
    assert row.attempt == 2
    assert row.overhead_us is not None
    assert row.overhead_us < 20_000
    second.close()


@pytest.mark.parametrize(("identity_field", "counted"), [("metadata.user_id", 1), ("", 0)])
def test_events_too_large_to_read_are_counted_where_they_may_have_told_of_usage(
    identity_field: str, counted: int
) -> None:
    def meter(*, streaming: bool) -> Meter:
        return AnswerMeter(cast("Any", Deaf()), streaming=streaming, max_event_bytes=4)

    tally, rows = Tally(), Rows()
    api = SimpleNamespace(meter=meter, identity_field=identity_field)
    _, connection = under_way(Ticking(), rows, tally, api)
    for read in (EVENT[:10], EVENT[10:], b"0\r\n\r\n"):
        connection.data_received(read)
    assert tally["answer_parts_unread"] == counted
    connection.close()
