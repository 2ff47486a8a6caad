"""Between a request and its turn of the loop its client may leave."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest

from byline.gateway.exchange import Clock, Tally
from byline.gateway.forwarding import FLUSHED_BODY_BYTES
from byline.gateway.pipeline import Pipeline
from byline.gateway.turn import Turn


class Upstream:
    """Stands for admission and forwarding."""

    def __init__(self) -> None:
        self.sent: list[object] = []

    def admit(self, exchange: object) -> None: ...

    def forward(self, exchange: object) -> None:
        self.sent.append(exchange)


def pipeline(upstream: Upstream, ready: list[Callable[[], object]]) -> Pipeline:
    other = cast("Any", SimpleNamespace())
    return Pipeline(
        local=other, routes=other, endpoints=other, authenticator=other, heads=other, memory=other,
        recognizer=other, admitter=cast("Any", upstream), forwarder=cast("Any", upstream), journal=other,
        tally=Tally(), turn=Turn(ready.append), clock=Clock(lambda: 0.0, lambda: 0.0), gateway_id="g",
        max_body_bytes=1,
    )  # fmt: skip


def repeated(body_length: int) -> Any:
    return SimpleNamespace(
        body_length=body_length,
        caller=SimpleNamespace(decision=None),
        reply=object(),
        columns=SimpleNamespace(),
        request=object(),
    )


@pytest.mark.parametrize("leaves", [False, True])
def test_a_request_is_sent_in_its_turn_unless_its_client_has_left(leaves: bool) -> None:
    upstream, ready = Upstream(), list[Callable[[], object]]()
    exchange = repeated(2_000)
    pipeline(upstream, ready).proceed_repeat(exchange)
    assert upstream.sent == []
    if leaves:
        exchange.reply = None
    ready[0]()
    assert upstream.sent == ([] if leaves else [exchange])


def test_a_large_body_is_sent_at_once() -> None:
    upstream, ready = Upstream(), list[Callable[[], object]]()
    exchange = repeated(FLUSHED_BODY_BYTES + 1)
    pipeline(upstream, ready).proceed_repeat(exchange)
    assert upstream.sent == [exchange]
    assert ready == []
