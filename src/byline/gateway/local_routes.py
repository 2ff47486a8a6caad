"""Paths that the gateway answers itself, without a key and without a row."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from byline.gateway.exchange import Reply
from byline.gateway.http1.request_head import RequestHead


class Readiness(msgspec.Struct):
    """`ready` false is a 503; what is `degraded` is named either way."""

    ready: bool
    degraded: list[str] = []


class LocalRoutes:
    def __init__(self, readiness: Callable[[], Readiness]) -> None:
        self._readiness = readiness

    def answer(self, head: RequestHead, reply: Reply) -> bool:
        """True where the request was one of these and has been answered."""
        match head.line.method, head.line.path:
            case (b"GET" | b"HEAD", "/healthz"):
                _send(reply, 200, b'{"status":"ok"}')
            case (b"GET" | b"HEAD", "/readyz"):
                readiness = self._readiness()
                _send(reply, 200 if readiness.ready else 503, msgspec.json.encode(readiness))
            case (b"HEAD", "/" | "/anthropic" | "/openai" | "/api/hello"):
                # Claude Code's warm-up probes; they carry no credential.
                _send(reply, 200, b"")
            case _:
                return False
        return True


def _send(reply: Reply, status: int, body: bytes) -> None:
    reason = b"OK" if status == 200 else b"Service Unavailable"
    reply.start(status, reason, [b"content-type: application/json", b"cache-control: no-store"], len(body))
    reply.write(body)
    reply.end()
