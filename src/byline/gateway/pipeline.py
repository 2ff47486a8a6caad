"""One request's way through the gateway. Start reading here.

    open:     authenticate -> find the route -> check what the head alone tells
    proceed:  read the body -> recognize the caller (claims, attribution, identifier)
              -> admit -> stamp -> forward

The answer's way back is in `attempt`: relay, meter, settle, journal. A step that can't go on raises
Refused; it is answered and recorded in one place, `unsent`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable
from copy import copy

from byline.gateway.admission import Admitter
from byline.gateway.auth.admission import Admission, Refusal
from byline.gateway.auth.authenticator import Authenticator
from byline.gateway.callers import Caller, HeadMemory, Recalled
from byline.gateway.endpoints import Endpoint, Endpoints
from byline.gateway.exchange import Clock, Exchange, Reply, Tally, open_exchange
from byline.gateway.forwarding import FLUSHED_BODY_BYTES, Forwarder
from byline.gateway.head_checks import body_too_large, check_head, upgrade_required
from byline.gateway.http1.errors import ProtocolError
from byline.gateway.http1.request_head import RequestHeadReader
from byline.gateway.local_routes import LocalRoutes
from byline.gateway.reading import read_body
from byline.gateway.recognition import Recognizer
from byline.gateway.refusals import Refused, kind_of_status
from byline.gateway.repeats import Client, Repeats
from byline.gateway.routes import Routes, explain_unserved
from byline.gateway.stamping import stamp
from byline.gateway.turn import Turn
from byline.gateway.unsent import Unsent

log = logging.getLogger(__name__)


class Pipeline:
    """Shared by all client connections of a worker."""

    def __init__(
        self,
        *,
        local: LocalRoutes,
        routes: Routes,
        endpoints: Endpoints,
        authenticator: Authenticator,
        heads: RequestHeadReader,
        memory: HeadMemory,
        recognizer: Recognizer,
        admitter: Admitter,
        forwarder: Forwarder,
        unsent: Unsent,
        tally: Tally,
        turn: Turn,
        clock: Clock,
        max_body_bytes: int,
    ) -> None:
        self._local = local
        self._routes = routes
        self._endpoints = endpoints
        self._authenticator = authenticator
        self._heads = heads
        self._memory = memory
        self._recognizer = recognizer
        self._repeats = Repeats(memory, recognizer, clock, max_body_bytes)
        self._admitter = admitter
        self._forwarder = forwarder
        self._unsent = unsent
        self._tally = tally
        self._turn = turn
        turn.send = self._send_waiting
        self._clock = clock
        self._max_body_bytes = max_body_bytes
        self._waiting: set[asyncio.Task[None]] = set()
        """Requests whose budgets a shared store is asked about."""

    def open(self, block: bytes, client: Client) -> Exchange | Awaitable[Exchange]:
        """The head has come, the body has not. An exchange without a `reply` is answered already.

        Awaitable only where a signing key must be fetched first. Raises ProtocolError.
        """
        recalled = self._memory.recall(block)
        if recalled is not None:
            return self._open_again(recalled, client)
        head = self._heads.read(block)
        reply = client.new_reply(head)
        family = self._routes.family_of(head)
        exchange = open_exchange(head, reply, family, self._clock, head.get(b"traceparent"))
        if self._local.answer(head, reply):
            exchange.reply = None
        elif head.wants_upgrade:
            self.refuse(exchange, upgrade_required())
        elif (endpoint := self._endpoints.find(head)) is not None and endpoint.is_open(head):
            self._open_endpoint(exchange, endpoint)
        else:
            outcome = self._authenticator.authenticate(head.read, reply.peer_address)
            if not isinstance(outcome, Admission | Refusal):
                return self._open_later(exchange, outcome)
            self._open_authenticated(exchange, outcome, block)
        return exchange

    def proceed(self, exchange: Exchange, body: bytes) -> None:
        """The body is whole: from here to the wire."""
        try:
            if exchange.route is None:
                endpoint = self._endpoints.find(exchange.head)
                assert endpoint is not None  # nothing else is opened without a route
                endpoint.take(exchange, body)
                return
            exchange.facts = read_body(exchange, body, self._max_body_bytes)
            exchange.caller = caller = self._recognizer.recognize(exchange)
            exchange.attribution = caller.attribution
            if self._turn.is_under_way:  # it came behind a request whose answer is being worked off
                self._turn.take_request(exchange)
            else:
                self._send(exchange, caller)
        except Refused as refusal:
            self.refuse(exchange, refusal)
        except Exception:
            log.exception("a request failed inside the gateway")
            self.refuse(exchange, _failed())

    def open_repeat(self, data: bytes, max_head_bytes: int, client: Client) -> Exchange | None:
        """A whole request whose like was let in before: `open` and `proceed` up to admission in one step.

        None, and nothing is owed: take it through the two.
        """
        try:
            return self._repeats.open(data, max_head_bytes, client)
        except Exception:
            log.exception("a request like an earlier one is read from the beginning")
            return None

    def proceed_repeat(self, exchange: Exchange) -> None:
        if exchange.body_length > FLUSHED_BODY_BYTES:
            self._send_waiting(exchange)
        else:
            self._turn.take_request(exchange)

    def _send_waiting(self, exchange: Exchange) -> None:
        caller = exchange.caller
        assert caller is not None
        try:
            if exchange.reply is None:
                self._unsent.give_up(exchange)
            else:
                self._send(exchange, caller)
        except Refused as refusal:
            self.refuse(exchange, refusal)
        except Exception:
            log.exception("a request failed inside the gateway")
            self.refuse(exchange, _failed())

    def _send(self, exchange: Exchange, caller: Caller) -> None:
        waiting = self._admitter.admit(exchange)
        if waiting is not None:
            self._proceed_later(exchange, caller, waiting)
            return
        stamp(exchange, caller, self._tally)
        self._forwarder.forward(exchange)

    def refuse(self, exchange: Exchange, refusal: Refused) -> None:
        self._unsent.refuse(exchange, refusal)

    def refuse_malformed(self, reply: Reply, error: ProtocolError) -> None:
        self._unsent.refuse_malformed(reply, error)

    def _proceed_later(self, exchange: Exchange, caller: Caller, waiting: Awaitable[None]) -> None:
        task = asyncio.ensure_future(self._send_when_admitted(exchange, caller, waiting))
        self._waiting.add(task)
        task.add_done_callback(self._waiting.discard)

    async def _send_when_admitted(self, exchange: Exchange, caller: Caller, waiting: Awaitable[None]) -> None:
        began_at = exchange.clock.monotonic()
        try:
            await waiting
            if exchange.reply is None:
                self._unsent.give_up(exchange)
                return
            exchange.body_at += exchange.clock.monotonic() - began_at  # waiting is not our overhead
            stamp(exchange, caller, self._tally)
            self._forwarder.forward(exchange)
        except Refused as refusal:
            self.refuse(exchange, refusal)
        except Exception:
            log.exception("a request failed inside the gateway")
            self.refuse(exchange, _failed())

    def _open_endpoint(self, exchange: Exchange, endpoint: Endpoint) -> None:
        try:
            endpoint.check(exchange.head)
        except Refused as refusal:
            self.refuse(exchange, refusal)

    def _open_authenticated(self, exchange: Exchange, outcome: Admission | Refusal, block: bytes) -> None:
        head = exchange.head
        try:
            exchange.admission = admission = self._require_admission(outcome)
            if (endpoint := self._endpoints.find(head)) is not None:
                endpoint.check(head)
                return
            exchange.route = route = self._routes.find(head)
            if route is None:
                raise explain_unserved(head.line.path)
            check_head(head, self._max_body_bytes)
            exchange.known = self._memory.remember(block, head, exchange.family, route, admission)
        except Refused as refusal:
            self.refuse(exchange, refusal)

    def _open_again(self, recalled: Recalled, client: Client) -> Exchange:
        known, head = recalled.known, copy(recalled.known.head)
        head.content_length = recalled.content_length
        reply = client.new_reply(head)
        exchange = open_exchange(head, reply, known.family, self._clock, recalled.traceparent)
        exchange.known, exchange.route, exchange.admission = known, known.route, known.admission
        if head.content_length > self._max_body_bytes:
            self.refuse(exchange, body_too_large(self._max_body_bytes))
        return exchange

    async def _open_later(self, exchange: Exchange, outcome: Awaitable[Admission | Refusal]) -> Exchange:
        self._open_authenticated(exchange, await outcome, b"")
        return exchange

    def _require_admission(self, outcome: Admission | Refusal) -> Admission:
        if isinstance(outcome, Refusal):
            self._tally["unauthenticated"] += 1
            self._tally[outcome.kind] += 1
            raise Refused(outcome.status, kind_of_status(outcome.status), outcome.message)
        return outcome


def _failed() -> Refused:
    return Refused(500, "internal", "the gateway failed on this request; its log says why")
