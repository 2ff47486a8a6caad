"""A client's connection without a socket: what its replies are told."""

from __future__ import annotations

from typing import Any, cast

import pytest

from byline.gateway.client import ClientConnection, ClientLimits
from byline.gateway.http1.request_head import RequestHead, RequestHeadReader


class Transport:
    def __init__(self) -> None:
        self.writes: list[bytes] = []

    def write(self, data: bytes) -> None:
        self.writes.append(data)

    def get_extra_info(self, _: str) -> Any:
        return None

    def is_closing(self) -> bool:
        return False

    def set_write_buffer_limits(self, **_: int) -> None: ...
    def close(self) -> None: ...


@pytest.fixture
def connection() -> ClientConnection:
    made = ClientConnection(
        cast("Any", None), ClientLimits(), cast("Any", None), lambda: 1.0, lambda _: None, lambda _: None
    )
    made.connection_made(cast("Any", Transport()))
    return made


def head_of(text: bytes) -> RequestHead:
    return RequestHeadReader(frozenset()).read(text)


HEAD = head_of(b"GET /v1/models HTTP/1.1\r\nHost: g")


def test_a_reply_keeps_the_connection_unless_the_client_or_the_end_of_serving_says_otherwise(
    connection: ClientConnection,
) -> None:
    assert not connection.new_reply(HEAD).close_after
    assert connection.new_reply(None).close_after
    assert connection.new_reply(head_of(b"GET / HTTP/1.1\r\nHost: g\r\nConnection: close")).close_after
    connection.stop()
    assert connection.new_reply(HEAD).close_after


def test_an_answer_to_a_request_that_was_read_whole_is_one_write(connection: ClientConnection) -> None:
    transport = cast("Transport", connection._transport)  # pyright: ignore[reportPrivateUsage]
    connection.new_reply(HEAD, body_is_read=True).answer(200, b"OK", [b"a: b"], b"body")
    assert transport.writes == [b"HTTP/1.1 200 OK\r\na: b\r\ncontent-length: 4\r\n\r\nbody"]
