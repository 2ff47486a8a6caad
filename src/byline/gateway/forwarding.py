"""Sends an exchange upstream: the start entry is on the journal before the first byte leaves."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Protocol

from byline.gateway.admission import not_recorded
from byline.gateway.attempt import Attempt
from byline.gateway.attempt_columns import reopen_columns
from byline.gateway.attempt_row import Surroundings
from byline.gateway.dial_warnings import DialWarnings
from byline.gateway.error_reply import send_refusal
from byline.gateway.exchange import Exchange
from byline.gateway.provider import Provider
from byline.gateway.upstream.dial import DialError, named
from byline.usage.record import AttemptColumns

FLUSHED_BODY_BYTES = 64 * 1024
"""Larger bodies are sent on while the processor's cache still holds them."""
log = logging.getLogger(__name__)


class StartJournal(Protocol):
    def append_start(
        self,
        record: AttemptColumns,
        then: Callable[[], None],
        on_refused: Callable[[], None],
        known: bytes,
    ) -> None:
        """`then` once the entry's write has returned; `on_refused` where it must not be sent unrecorded."""
        ...

    def flush(self) -> None:
        """Write now, not at the end of this turn of the loop."""
        ...


class Forwarder:
    def __init__(self, journal: StartJournal, around: Surroundings) -> None:
        self._journal = journal
        self._around = around
        self._dials: set[asyncio.Task[None]] = set()
        self._warnings = DialWarnings()

    def forward(self, exchange: Exchange) -> None:
        columns, known = exchange.columns, exchange.known_columns
        assert known is not None
        exchange.in_flight = attempt = Attempt(exchange, columns, known, self._around, self)
        self._journal.append_start(columns, attempt.on_recorded, attempt.on_unrecorded, known.members)
        if exchange.body_length > FLUSHED_BODY_BYTES:
            self._journal.flush()

    def send_again(self, exchange: Exchange) -> None:
        """Attempt 2, on a fresh connection: a reused one had ended before any byte of an answer."""
        exchange.columns = reopen_columns(exchange.columns, exchange.clock.wall())
        exchange.body_at = exchange.clock.monotonic()  # the first attempt's wait is no overhead of this one
        self.forward(exchange)

    def dial(self, exchange: Exchange, attempt: Attempt) -> None:
        """Sends on a new connection, as soon as there is one."""
        provider = exchange.required_route.provider
        task = asyncio.get_running_loop().create_task(self._dial(exchange, provider, attempt))
        self._dials.add(task)
        task.add_done_callback(self._dials.discard)

    async def _dial(self, exchange: Exchange, provider: Provider, attempt: Attempt) -> None:
        origin, now = provider.pool.origin, exchange.clock.monotonic
        began_at = now()
        try:
            connection = await provider.pool.connect()
            exchange.body_at += now() - began_at  # waiting is not our overhead
        except DialError as error:
            self._warnings.failed(provider.name, origin, str(error), now())
            attempt.fail_before_sending(
                error.error_type, str(error), timed_out=error.error_type == "connect_timeout"
            )
            return
        except Exception:  # a client must not wait for ever on what nobody foresaw
            log.exception("a connection could not be opened")
            message = f"no connection to {named(origin)}"
            attempt.fail_before_sending("connect_error", message, timed_out=False)
            return
        self._warnings.succeeded(provider.name, origin)
        if attempt.is_over:
            connection.close()
        else:
            attempt.send_on(connection)

    def refuse_unrecorded(self, exchange: Exchange) -> None:
        reply, exchange.reply = exchange.reply, None
        exchange.in_flight = None
        if self._around.budgets is not None:
            self._around.budgets.release(exchange)
        if reply is not None:
            send_refusal(reply, exchange.family, not_recorded(), exchange.exchange_id)
