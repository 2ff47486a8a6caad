"""One client request with its answer: the state that the pipeline's steps share."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Protocol

import msgspec

from byline.apis.api import Buffer, Family, RequestFacts
from byline.gateway.attempt_columns import open_columns
from byline.gateway.auth.admission import Admission
from byline.gateway.callers import Caller, KnownHead
from byline.gateway.http1.request_head import RequestHead
from byline.gateway.reservation import Reservation
from byline.gateway.routes import Route
from byline.identity.model import Attribution, Grant
from byline.usage.record import AttemptColumns, KnownColumns


class Clock(msgspec.Struct, frozen=True):
    """Times come from the wall, durations from the monotonic clock; both in seconds."""

    wall: Callable[[], float]
    monotonic: Callable[[], float]

    def moment(self) -> Moment:
        return Moment(datetime.fromtimestamp(self.wall(), UTC), self.monotonic())


class Moment(msgspec.Struct, frozen=True, gc=False):
    """One, by both clocks."""

    wall: datetime
    monotonic: float


class Reply(Protocol):
    """The client's side of an exchange. After `end` or `cut` nothing may be written."""

    peer_address: str

    pieces: list[bytes]
    """Written, and not yet flushed."""

    def start(self, status: int, reason: bytes, lines: list[bytes], length: int | None) -> None:
        """`lines` are taken over. `length` None: the body is sent chunked, or until close to an HTTP/1.0 client."""
        ...

    def answer(self, status: int, reason: bytes, lines: list[bytes], body: bytes) -> None:
        """`start`, `write` and `end` at once."""
        ...

    def write(self, data: bytes) -> None: ...
    def chunk_sink(self) -> Callable[[bytes], None] | None:
        """Sends whole chunks as they were framed, at once; for when nothing waits to be flushed.

        None where the body does not go out in chunks.
        """
        ...

    def flush(self) -> None:
        """Sends what was written since the last flush."""
        ...

    def end(self) -> None: ...
    def cut(self) -> None:
        """Ends the connection so that the client sees an incomplete answer."""
        ...


class InFlight(Protocol):
    """What goes on upstream for an exchange."""

    def client_gone(self) -> None: ...
    def client_paused(self) -> None: ...
    def client_resumed(self) -> None: ...
    def stop(self) -> None:
        """The gateway stops: end now, keep what was metered."""
        ...


class UpstreamRequest(msgspec.Struct, frozen=True, gc=False):
    """What goes on the wire, kept until the answer begins: a stale connection sends it once more."""

    head: bytes
    segments: Sequence[Buffer]
    to_head_request: bool = False


class Exchange(msgspec.Struct, eq=False):
    """Filled from left to right by the pipeline; a None is a step not yet reached."""

    head: RequestHead
    reply: Reply | None
    """None once answered, or once the client has gone."""
    family: Family
    clock: Clock
    accepted_at: float
    body_at: float
    columns: AttemptColumns
    """Of the attempt under way."""
    known: KnownHead | None = None
    """Set where this client has asked before, or may be recalled when it asks again."""
    route: Route | None = None
    admission: Admission | None = None
    attribution: Attribution | None = None
    facts: RequestFacts | None = None
    caller: Caller | None = None
    body_length: int = 0
    """Of the body as decoded."""
    hides_usage: bool = False
    """Byline asked for the usage event of this stream, so the client must not see it."""
    known_columns: KnownColumns | None = None
    request: UpstreamRequest | None = None
    reservation: Reservation | None = None
    """What it holds of budgets, from admission until it is settled."""
    in_flight: InFlight | None = None

    @property
    def exchange_id(self) -> str:
        return self.columns.exchange_id

    @property
    def grant(self) -> Grant:
        assert self.admission is not None
        return self.admission.grant

    @property
    def pays_itself(self) -> bool:
        """The client's own provider credential passes through."""
        return self.admission is not None and self.admission.client_credential is not None

    @property
    def required_route(self) -> Route:
        assert self.route is not None
        return self.route

    @property
    def required_facts(self) -> RequestFacts:
        assert self.facts is not None
        return self.facts

    def client_gone(self) -> None:
        self.reply = None
        if self.in_flight is not None:
            self.in_flight.client_gone()


def open_exchange(
    head: RequestHead, reply: Reply | None, family: Family, clock: Clock, traceparent: bytes | None
) -> Exchange:
    """At accept: its time and ids are fixed here."""
    accepted_at, columns = clock.monotonic(), open_columns(clock.wall(), traceparent)
    return Exchange(head, reply, family, clock, accepted_at, accepted_at, columns)


class Tally(Counter[str]):
    """Counts of this worker since its start, by name."""
