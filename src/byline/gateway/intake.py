"""Takes what client runtimes send: usage and events, one JSON object a line.

A line says what happened; who it happened for is decided here, by the key and what that key may
claim. Nothing a line holds can replace a row of the gateway's own. What is taken is answered for
only after it has been written to the journal.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Final, Protocol

import msgspec

from byline.gateway.auth.attribution import UserLookup, attribute
from byline.gateway.error_reply import send_refusal
from byline.gateway.exchange import Clock, Exchange, Reply
from byline.gateway.http1.content import decode_body
from byline.gateway.http1.errors import ProtocolError
from byline.gateway.http1.request_head import RequestHead
from byline.gateway.intake_lines import BadLine, read_event, read_usage
from byline.gateway.refusals import Refused
from byline.identity.model import Attribution, Claims
from byline.usage.record import UsageRecord

MAX_BODY_BYTES: Final = 4 * 1024 * 1024
MAX_LINES: Final = 5000
_MAX_COMPLAINTS: Final = 20
_PATHS: Final = {"/byline/v1/usage": "usage", "/byline/v1/events": "event"}


class IntakeJournal(Protocol):
    def append_end(self, record: UsageRecord) -> None: ...
    def append_event(self, columns: Mapping[str, object]) -> None: ...
    def trouble(self) -> object | None: ...


class Complaint(msgspec.Struct, frozen=True):
    line: int
    """Counted from 1."""
    error: str


class Taken(msgspec.Struct):
    """The answer. Sending refused lines again changes nothing."""

    accepted: int = 0
    refused: int = 0
    errors: list[Complaint] = []
    """The first twenty."""


class Intake:
    def __init__(self, journal: IntakeJournal, users: UserLookup, clock: Clock, gateway_id: str) -> None:
        self._journal = journal
        self._users = users
        self._clock = clock
        self._gateway_id = gateway_id

    def serves(self, head: RequestHead) -> bool:
        return head.line.method == b"POST" and head.line.path in _PATHS

    def is_open(self, head: RequestHead) -> bool:
        return False

    def check(self, head: RequestHead) -> None:
        """Raises Refused for what the head alone tells."""
        _check_size(head.content_length)

    def take(self, exchange: Exchange, body: bytes) -> None:
        """Raises Refused. Answers after this turn of the loop, in which the journal writes."""
        lines = self._lines(exchange, body)
        if self._journal.trouble() is not None:
            raise _unwritable()
        taken = Taken()
        append = self._append_usage if _PATHS[exchange.head.line.path] == "usage" else self._append_event
        for number, line in enumerate(lines, start=1):
            if line.strip():
                _count(taken, number, line, lambda line: append(exchange, line))
        # The journal's write was scheduled before this, for the same turn.
        asyncio.get_running_loop().call_soon(self._answer, exchange, taken)

    def _lines(self, exchange: Exchange, body: bytes) -> list[bytes]:
        try:
            _check_size(len(body))  # of a chunked one the head said nothing
            lines = decode_body(body, exchange.head.content_encoding, MAX_BODY_BYTES).splitlines()
        except ProtocolError as error:
            raise Refused(error.status, "invalid_request", str(error)) from None
        if len(lines) > MAX_LINES:
            raise Refused(413, "too_large", f"more than {MAX_LINES} lines at a time; send smaller batches")
        return lines

    def _append_usage(self, exchange: Exchange, line: bytes) -> None:
        record = read_usage(line, self._clock.wall(), exchange.grant.actor.id)
        record.gateway_id = self._gateway_id
        attribution = self._attribute(exchange, record.claimed_user, record.claimed_job)
        subject = attribution.subject
        record.actor_id, record.key_id = attribution.actor.id, attribution.key_id
        record.auth_source = attribution.auth_source
        record.user, record.email, record.team = subject.username, subject.email, subject.team
        record.job = attribution.job
        record.identifier = subject.id
        self._journal.append_end(record)

    def _append_event(self, exchange: Exchange, line: bytes) -> None:
        columns = read_event(line, self._clock.wall())
        claimed_user, claimed_job = columns.pop("user", None), columns.pop("job", None)
        attribution = self._attribute(exchange, claimed_user, claimed_job)
        columns["actor_id"], columns["user"] = attribution.actor.id, attribution.subject.username
        if attribution.job is not None:
            columns["job"] = attribution.job
        self._journal.append_event(columns)

    def _attribute(self, exchange: Exchange, user: object, job: object) -> Attribution:
        claims = Claims(
            user=user if isinstance(user, str) else None, job=job if isinstance(job, str) else None
        )
        return attribute(exchange.grant, claims, self._users)

    def _answer(self, exchange: Exchange, taken: Taken) -> None:
        reply, exchange.reply = exchange.reply, None
        if reply is None:
            return
        if self._journal.trouble() is not None:
            send_refusal(reply, exchange.family, _unwritable(), exchange.exchange_id)
        else:
            _send(reply, msgspec.json.encode(taken), exchange.exchange_id)


def _count(taken: Taken, number: int, line: bytes, append: Callable[[bytes], None]) -> None:
    try:
        append(line)
    except BadLine as error:
        taken.refused += 1
        if len(taken.errors) < _MAX_COMPLAINTS:
            taken.errors.append(Complaint(number, str(error)))
    else:
        taken.accepted += 1


def _check_size(size: int) -> None:
    if size > MAX_BODY_BYTES:
        raise Refused(413, "too_large", f"more than {MAX_BODY_BYTES} bytes at a time; send smaller batches")


def _unwritable() -> Refused:
    return Refused(503, "overloaded", "the gateway can't write its journal now; send the same again later")


def _send(reply: Reply, body: bytes, request_id: str) -> None:
    lines = [b"content-type: application/json", b"x-byline-request-id: " + request_id.encode()]
    reply.start(200, b"OK", lines, len(body))
    reply.write(body)
    reply.end()
