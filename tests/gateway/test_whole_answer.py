"""What may happen between the arrival of a whole answer and its turn."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

from byline.apis import messages
from byline.gateway.attempt import Attempt
from byline.gateway.attempt_columns import open_columns
from byline.gateway.attempt_row import Surroundings
from byline.gateway.drains import DrainLimits, Drains
from byline.gateway.exchange import Clock, Exchange, Tally, UpstreamRequest
from byline.gateway.http1.response_head import read_response_head
from byline.gateway.turn import Turn
from byline.usage.record import AttemptColumns

HEAD = read_response_head(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 9")
BODY = (
    b'{"id":"msg_1","type":"message","model":"claude-sonnet-4-6","stop_reason":"end_turn",'
    b'"usage":{"input_tokens":12,"output_tokens":3},"content":[]}'
)


class Connection:
    """Given back to the pool before the answer's turn: whatever is done to it would hit somebody else."""

    read_began_at = 100.0

    def __init__(self, busy_s: float) -> None:
        self.busy_s = busy_s

    def send(self, *_: object) -> None: ...

    def abort(self) -> None:
        raise AssertionError("aborted")

    pause = resume = close = abort


class Client:
    peer_address = "127.0.0.1"

    def __init__(self) -> None:
        self.bodies: list[bytes] = []

    def answer(self, status: int, reason: bytes, lines: list[bytes], body: bytes) -> None:
        self.bodies.append(body)


class Scene:
    """One attempt whose answer has come, in a loop that goes on when the test says so."""

    def __init__(self, body: bytes = BODY, busy_s: float = 0.0) -> None:
        self.rows: list[AttemptColumns] = []
        self.client = Client()
        self._ready: list[Callable[[], object]] = []
        clock = lambda: 100.5  # noqa: E731
        provider = SimpleNamespace(family="anthropic", name="anthropic")
        self.exchange = cast("Any", Exchange)(
            None, self.client, "anthropic", Clock(lambda: 1.8e9, clock), 99.0, 99.0, open_columns(1.8e9, None),
            route=SimpleNamespace(api=messages, provider=provider), request=UpstreamRequest(b"POST", ()),
        )  # fmt: skip
        known = cast("Any", SimpleNamespace(members=b"", record=SimpleNamespace(provider="anthropic")))
        journal = cast("Any", SimpleNamespace(append_end=lambda row, _: self.rows.append(row)))
        drains = Drains(DrainLimits(), clock)
        around = Surroundings(
            journal,
            drains,
            Tally(),
            Turn(lambda run: self._ready.append(run), Clock(lambda: 1.8e9 + 3, lambda: 103.5)),
        )
        self.attempt = Attempt(self.exchange, self.exchange.columns, known, around, cast("Any", None))
        self.exchange.in_flight = self.attempt
        self.attempt.send_on(cast("Any", Connection(busy_s)))
        self.attempt.on_whole_answer(HEAD, body)

    def go_on(self) -> AttemptColumns:
        for run in self._ready:
            run()
        (row,) = self.rows
        return row


def test_a_client_that_leaves_before_is_told_nothing_and_its_row_says_so_with_the_usage() -> None:
    scene = Scene()
    assert scene.client.bodies == []
    scene.exchange.client_gone()
    row = scene.go_on()
    assert (row.outcome, row.input_uncached_tokens, row.output_tokens) == ("client_disconnect", 12, 3)
    assert scene.client.bodies == []


def test_a_gateway_that_stops_before_still_sends_it() -> None:
    scene = Scene()
    scene.attempt.stop()
    assert scene.go_on().outcome == "ok"
    assert scene.client.bodies == [BODY]


def test_a_client_that_reads_slowly_stops_nobody_elses_connection() -> None:
    scene = Scene()
    scene.attempt.client_paused()
    scene.attempt.client_resumed()
    assert scene.go_on().outcome == "ok"


def test_an_answer_that_can_not_be_read_is_relayed_and_its_row_lacks_the_usage() -> None:
    broken = BODY.replace(b"12", b"12e999x")
    scene = Scene(broken)
    row = scene.go_on()
    assert scene.client.bodies == [broken]
    assert row.input_uncached_tokens is None
    assert not row.usage_complete


def test_the_time_from_its_read_to_its_row_is_overhead_beside_that_of_the_request() -> None:
    """1.5 s from the request's body to its sending, 3.5 s from the answer's read to the end of its turn's metering."""
    row = Scene().go_on()
    assert row.overhead_us == 5_000_000
    assert row.duration_ms == 4_500.0
    assert row.ended_at is not None
    assert row.ended_at.timestamp() == 1.8e9 + 3


def test_the_first_byte_is_counted_from_the_request_and_reads_before_the_last_are_overhead() -> None:
    scene = Scene(busy_s=0.25)
    row = scene.go_on()
    assert (row.ttft_ms, row.overhead_us) == (1_000.0, 5_250_000)
