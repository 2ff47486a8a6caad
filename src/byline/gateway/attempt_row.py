"""The row of one attempt: what its answer says is put on as it comes, then it is journalled, once.

The answer always comes first: whatever goes wrong here is logged, and what was to be relayed is relayed.
"""

from __future__ import annotations

import logging
from typing import Protocol

import msgspec

from byline.apis.api import Meter, Reading
from byline.gateway.drains import Drains
from byline.gateway.exchange import Exchange, Moment, Tally
from byline.gateway.http1.response_head import ResponseHead
from byline.gateway.record import close_columns
from byline.gateway.routes import Route
from byline.gateway.turn import Turn
from byline.gateway.upstream.connection import UpstreamConnection
from byline.usage.record import AttemptColumns, KnownColumns, Outcome, UsageRecord

log = logging.getLogger(__name__)
_TOO_MANY_REQUESTS = 429


class EndJournal(Protocol):
    def append_end(self, record: AttemptColumns, known: bytes) -> None: ...


class QuotaReader(Protocol):
    def take(self, head: ResponseHead, now: float, whose: UsageRecord) -> msgspec.Raw:
        """What the head says of the limits of `whose` credential, as it stands on the row."""
        ...


class Settlement(Protocol):
    def settle(self, exchange: Exchange, record: UsageRecord, *, sent: bool) -> None: ...
    def release(self, exchange: Exchange) -> None: ...


class Surroundings(msgspec.Struct, frozen=True):
    """What all attempts of a worker share."""

    journal: EndJournal
    drains: Drains
    tally: Tally
    turn: Turn
    quota: QuotaReader | None = None
    budgets: Settlement | None = None


class AttemptRow:
    """What relays the answer is an `Attempt`: it sets these."""

    drain_deadline = 0.0
    drain_bytes_left = 0
    _exchange: Exchange
    _route: Route
    _columns: AttemptColumns
    _known: KnownColumns
    _around: Surroundings
    _connection: UpstreamConnection | None = None
    _meter: Meter | None = None
    _began = False
    _seen_body = False
    _over = False
    _busy_s = 0.0
    """What it took us up to the last read of the answer."""
    _last_read_at: float | None = None
    """When that was handed to us, by the monotonic clock: from there to the row it is all our time."""

    @property
    def is_over(self) -> bool:
        return self._over

    def _note_head(self, head: ResponseHead) -> None:
        columns, quota = self._columns, self._around.quota
        self._began = True
        columns.http_status = head.status
        columns.upstream_request_id = head.request_id
        columns.provider_organization = head.organization
        if quota is not None and (head.layout.tells_quota or head.status == _TOO_MANY_REQUESTS):
            try:
                wall = self._exchange.clock.wall
                columns.quota = quota.take(head, wall(), self._known.record)
            except Exception:
                log.exception("an answer of %s goes on with its limits unread", self._known.record.provider)

    def _note_first_byte(self) -> None:
        self._seen_body = True
        assert self._connection is not None  # the body came over it
        waited_s = self._connection.read_began_at - self._exchange.accepted_at
        self._columns.ttft_ms = int(waited_s * 1e6) / 1e3

    def _note_last_read(self) -> None:
        connection = self._connection
        assert connection is not None  # the answer came over it
        self._last_read_at = connection.read_began_at
        self._busy_s += connection.busy_s

    def _outcome(self, reading: Reading | None) -> Outcome:
        status = self._columns.http_status or 0
        error_type = reading.error_type if reading is not None else None
        if status < 400 and error_type is None:
            return "ok"
        if self._columns.error_type is None:
            self._columns.error_type = error_type or f"http_{status}"
        return "upstream_error"

    def _read_meter(self, *, finished: bool = False) -> Reading | None:
        if self._meter is None:
            return None
        try:
            if finished:
                self._meter.finish()
            if self._meter.dropped and self._route.api.identity_field:  # other paths bring no usage
                self._around.tally["answer_parts_unread"] += self._meter.dropped
            return self._meter.reading()
        except Exception:  # noqa: BLE001 - logged there
            self._give_up_metering()
            return None

    def _give_up_metering(self) -> None:
        """Whatever a provider sends, its answer travels on and its row is written."""
        log.exception("an answer of %s could not be metered", self._known.record.provider)
        self._meter = None

    def _note_trouble(self, error_type: str) -> None:
        self._columns.error_type = error_type
        self._around.tally[f"upstream:{self._known.record.provider}:{error_type}"] += 1

    def _settle(
        self,
        outcome: Outcome,
        reading: Reading | None = None,
        ended: Moment | None = None,
        *,
        keep_exchange: bool = False,
    ) -> None:
        """Once per attempt: the row is closed and journalled."""
        self._over = True
        exchange, columns = self._exchange, self._columns
        if self.drain_deadline:
            self._leave_drain()
        if reading is None:
            reading = self._read_meter()
        if ended is None:
            ended = exchange.clock.moment()
        close_columns(columns, exchange, reading, outcome, ended)
        if not self._route.api.identity_field:
            columns.usage_complete = None
        elif reading is None or outcome in {"upstream_disconnect", "interrupted"}:
            columns.usage_complete = False
        if self._last_read_at is not None:
            self._busy_s += ended.monotonic - self._last_read_at
        elif self._connection is not None:
            self._busy_s += self._connection.busy_s
        columns.overhead_us = int(self._busy_s * 1e6)
        self._around.journal.append_end(columns, self._known.members)
        if not keep_exchange:
            exchange.in_flight = None
            if exchange.reservation is not None and self._around.budgets is not None:
                self._settle_budgets(self._around.budgets)

    def _leave_drain(self) -> None:
        raise NotImplementedError

    def _settle_budgets(self, budgets: Settlement) -> None:
        """What goes wrong here costs neither the row nor the answer; the reservation ends with its lease."""
        record = self._known.with_attempt(self._columns)
        try:
            budgets.settle(self._exchange, record, sent=self._connection is not None)
        except Exception:
            log.exception("a budget could not be settled")
