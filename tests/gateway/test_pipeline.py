"""Between a request and its turn of the loop its client may leave."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

from byline.gateway.attempt_columns import open_columns
from byline.gateway.exchange import Clock, Exchange, Tally, UpstreamRequest
from byline.gateway.forwarding import FLUSHED_BODY_BYTES
from byline.gateway.pipeline import Pipeline
from byline.gateway.turn import Turn
from byline.gateway.unsent import Unsent
from byline.usage.record import AttemptColumns

CLOCK = Clock(lambda: 1.8e9, lambda: 100.0)


class Scene:
    """A pipeline whose admission, forwarding and journal only take notes."""

    def __init__(self) -> None:
        self.ready: list[Callable[[], object]] = []
        self.released: list[object] = []
        self.sent: list[object] = []
        self.rows: list[AttemptColumns] = []
        other = cast("Any", SimpleNamespace())
        recognizer = cast("Any", SimpleNamespace(attribute=lambda _: None))
        admitter = cast("Any", SimpleNamespace(admit=lambda _: None, release=self.released.append))
        journal = cast("Any", SimpleNamespace(append_end=lambda row, _: self.rows.append(row)))
        unsent = Unsent(
            endpoints=other, recognizer=recognizer, admitter=admitter, journal=journal, tally=Tally(),
            clock=CLOCK, gateway_id="g",
        )  # fmt: skip
        self.pipeline = Pipeline(
            local=other, routes=other, endpoints=other, authenticator=other, heads=other, memory=other,
            recognizer=recognizer, admitter=admitter, forwarder=cast("Any", SimpleNamespace(forward=self.sent.append)),
            unsent=unsent, tally=Tally(), turn=Turn(self.ready.append, CLOCK), clock=CLOCK, max_body_bytes=1,
        )  # fmt: skip


def repeated(body_length: int) -> Exchange:
    provider = SimpleNamespace(name="anthropic", pool=SimpleNamespace(origin=SimpleNamespace(host="h")))
    return cast("Any", Exchange)(
        SimpleNamespace(get=lambda _: None), object(), "anthropic", CLOCK, 99.0, 99.0, open_columns(1.8e9, None),
        route=SimpleNamespace(provider=provider, api_name="messages"), body_length=body_length,
        caller=SimpleNamespace(decision=None), request=UpstreamRequest(b"POST", ()),
    )  # fmt: skip


def test_a_request_is_sent_in_its_turn() -> None:
    scene, exchange = Scene(), repeated(2_000)
    scene.pipeline.proceed_repeat(exchange)
    assert scene.sent == []
    scene.ready[0]()
    assert scene.sent == [exchange]


def test_a_request_whose_client_has_left_is_not_sent_and_has_a_row() -> None:
    scene, exchange = Scene(), repeated(2_000)
    scene.pipeline.proceed_repeat(exchange)
    exchange.client_gone()
    scene.ready[0]()
    assert scene.sent == []
    assert scene.released == [exchange]
    (row,) = scene.rows
    assert (row.outcome, row.http_status, row.duration_ms) == ("client_disconnect", None, 1000.0)


def test_a_large_body_is_sent_at_once() -> None:
    scene, exchange = Scene(), repeated(FLUSHED_BODY_BYTES + 1)
    scene.pipeline.proceed_repeat(exchange)
    assert scene.sent == [exchange]
    assert scene.ready == []
