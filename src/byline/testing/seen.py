"""What the provider saw and what it answered: the other side of the books."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

from byline.testing.http import Headers, Request
from byline.testing.tokens import Usage

_NOTHING = Usage()
Ending = Literal["answering", "complete", "cut", "client_gone"]


@dataclass(slots=True)
class SeenRequest:
    """One request in full, and the answer as far as it has been sent."""

    method: str
    target: str
    headers: Headers
    body: bytes = field(repr=False)
    connection: int
    """Number of the connection it came on, counted from 1."""
    request_id: str = ""
    generates: bool = False
    """Whether it asked for an answer that costs tokens."""
    identity: str | None = None
    model: str | None = None
    sent_status: int | None = None
    sent_headers: Headers = ()
    sent_body: bytearray = field(default_factory=bytearray, repr=False)
    """The body so far, without transfer coding, with content coding."""
    reported: Usage | None = None
    """The last usage handed to the connection."""
    ending: Ending = "answering"

    @property
    def path(self) -> str:
        return self.target.partition("?")[0]

    def header(self, name: str) -> str | None:
        """The first value of a request header, whatever its case."""
        return next((value for key, value in self.headers if key.lower() == name.lower()), None)

    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True, slots=True)
class Counted:
    requests: int = 0
    usage: Usage = _NOTHING


def see(request: Request, connection: int) -> SeenRequest:
    return SeenRequest(request.method, request.target, request.headers, request.body, connection)


def count(requests: Iterable[SeenRequest]) -> dict[str | None, Counted]:
    """Requests and reported tokens of each identity; None for requests that carried none."""
    totals: dict[str | None, Counted] = {}
    for seen in requests:
        if seen.generates:
            before = totals.get(seen.identity, Counted())
            usage = before.usage + (seen.reported or _NOTHING)
            totals[seen.identity] = Counted(before.requests + 1, usage)
    return totals
