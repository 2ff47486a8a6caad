"""Paths behind which the gateway itself takes a body and answers, beside those that lead to providers."""

from __future__ import annotations

from typing import Protocol

from byline.gateway.exchange import Exchange
from byline.gateway.http1.request_head import RequestHead


class Endpoint(Protocol):
    def serves(self, head: RequestHead) -> bool: ...
    def is_open(self, head: RequestHead) -> bool:
        """No Byline key is asked for."""
        ...

    def check(self, head: RequestHead) -> None:
        """Raises Refused for what the head alone tells."""
        ...

    def take(self, exchange: Exchange, body: bytes) -> None:
        """Answers, now or later. Raises Refused."""
        ...


class Endpoints:
    def __init__(self, *endpoints: Endpoint) -> None:
        self._endpoints = endpoints

    def find(self, head: RequestHead) -> Endpoint | None:
        return next((endpoint for endpoint in self._endpoints if endpoint.serves(head)), None)
