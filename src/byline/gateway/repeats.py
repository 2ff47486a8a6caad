"""Requests like earlier ones: whole in one read, from a head that was let in before.

What the gateway does to a body hangs on a few small members alone. What becomes of those was worked
out the first time, by the same steps as any request's, and is remembered under their exact bytes;
the rest of the body is passed over, and goes out as it came. Whatever is not plainly so is left to
those steps: this module refuses nothing and answers nothing.
"""

from __future__ import annotations

from typing import Protocol

import msgspec

from byline.apis.api import BodyError, Buffer, RequestFacts
from byline.gateway.attempt_columns import open_columns
from byline.gateway.callers import Caller, HeadMemory, KnownHead, Recalled
from byline.gateway.conversations import MIN_BYTES, Conversations
from byline.gateway.exchange import Clock, Exchange, Reply, UpstreamRequest, open_exchange
from byline.gateway.http1.request_head import RequestHead
from byline.gateway.last_head import LastHead, last_head
from byline.gateway.recognition import Recognizer
from byline.gateway.record import know_columns
from byline.gateway.refusals import Refused
from byline.gateway.stamping import stamp_body
from byline.gateway.upstream_head import end_upstream_head
from byline.usage.record import KnownColumns
from byline.wire.compact import CompactReader, CompactText, Members
from byline.wire.growing import KnownText
from byline.wire.json_members import JsonError, check_utf8

MAX_KNOWN_BODIES = 4096
MAX_KEY_BYTES = 4096
MAX_BODY_BYTES = 256 * 1024
"""Beyond it members are better read one by one; see `wire.json_members`."""

_decode = msgspec.json.Decoder(Members).decode
_encode = msgspec.json.Encoder().encode


class Client(Protocol):
    """Who sent the head, and takes the answer."""

    last_head: LastHead | None
    """Of those that took this way: read and set here alone."""

    def new_reply(self, head: RequestHead, *, body_is_read: bool = False) -> Reply: ...


class KnownBody(msgspec.Struct, frozen=True):
    """What becomes of a body with certain members, whatever else it holds."""

    facts: RequestFacts
    caller: Caller
    columns: KnownColumns
    hides_usage: bool
    replaced: tuple[tuple[str, bytes], ...]
    """Members and their new values, in the order of the body."""
    added: bytes
    """New members, each behind its comma: they go before the closing brace."""
    growth: int


class Repeats:
    """One per worker."""

    def __init__(self, memory: HeadMemory, recognizer: Recognizer, clock: Clock, max_body_bytes: int) -> None:
        self._memory = memory
        self._recognizer = recognizer
        self._clock = clock
        self._max_body_bytes = min(max_body_bytes, MAX_BODY_BYTES)
        self._conversations = Conversations()
        self._bodies: dict[bytes, KnownBody] = {}

    def open(self, data: bytes, max_head_bytes: int, client: Client) -> Exchange | None:
        """An exchange that is read, attributed and stamped, but not admitted. None: not such a request."""
        monotonic = self._clock.monotonic
        accepted_at = monotonic()
        recalled = self._recall(data, max_head_bytes, client)
        if recalled is None:
            return None
        known, length, begin = recalled.known, recalled.content_length, recalled.body_at
        if len(data) != begin + length or not 0 < length <= self._max_body_bytes or not known.repeatable:
            return None
        if length < MIN_BYTES:
            text = data[begin:]
            found = _read_whole(known.route.bodies, data, text)
        else:
            text = memoryview(data)[begin:]
            found = self._read_large(known, data, text)
        if found is None:
            return None
        key = found.key(known.serial)
        body = self._bodies.get(key) or self._learn(recalled, key, found)
        if body is None:
            return None
        columns, route, caller = open_columns(recalled.at, recalled.traceparent), known.route, body.caller
        head = caller.head_start + end_upstream_head(route.provider, columns, length + body.growth)
        request = _compose(head, text, found, body)
        return Exchange(
            known.head, client.new_reply(known.head, body_is_read=True), known.family, self._clock, accepted_at,
            accepted_at, columns, known, route, known.admission, caller.attribution, body.facts, caller,
            length, body.hides_usage, body.columns, request,
        )  # fmt: skip

    def _recall(self, data: bytes, max_head_bytes: int, client: Client) -> Recalled | None:
        last = client.last_head
        length = None if last is None else last.length_in(data)
        if last is not None and length is not None:
            at = self._memory.let_in(last.known)
            if at is not None:
                return Recalled(last.known, length, last.body_at, None, at)
            client.last_head = None
        # No head that was let in before has an empty line inside.
        head_end = data.find(b"\r\n\r\n")
        if not 0 < head_end <= max_head_bytes:
            return None
        recalled = self._memory.recall(data[:head_end])
        if recalled is not None:
            client.last_head = last_head(data, head_end, recalled)
        return recalled

    def _read_large(self, known: KnownHead, data: bytes, text: memoryview) -> CompactText | KnownText | None:
        continued = self._conversations.find(known.serial, text)
        if continued is not None:
            return continued
        found = _read_whole(known.route.bodies, data, text)
        if found is not None:
            self._conversations.keep(known.serial, text, found)
        return found

    def _learn(self, recalled: Recalled, key: bytes, found: CompactText | KnownText) -> KnownBody | None:
        """Takes a body of these members alone through the steps that any body takes."""
        if len(key) > MAX_KEY_BYTES:
            return None
        known, members = recalled.known, found.watched()
        exchange = open_exchange(known.head, None, known.family, self._clock, None)
        exchange.known, exchange.route, exchange.admission = known, known.route, known.admission
        try:
            exchange.facts = facts = known.route.api.read_request(_encode(members))
            if facts.background or facts.client_metadata:
                return None
            caller = self._recognizer.recognize(exchange)
        except (BodyError, Refused):
            return None
        stamped = _decode(b"".join(stamp_body(exchange, caller).segments))
        replaced = tuple(
            (name, bytes(stamped[name]))
            for name, old in members.items()
            if bytes(stamped[name]) != bytes(old)
        )
        added = b"".join(
            b",%b:%b" % (_encode(name), value) for name, value in stamped.items() if name not in members
        )
        growth = len(added) + sum(len(new) - len(members[name]) for name, new in replaced)
        columns = know_columns(exchange, caller.record)
        if len(self._bodies) >= MAX_KNOWN_BODIES:
            self._bodies.clear()
        body = KnownBody(facts, caller, columns, exchange.hides_usage, replaced, added, growth)
        self._bodies[key] = body
        return body


def _read_whole(bodies: CompactReader, data: bytes, text: bytes | memoryview) -> CompactText | None:
    """None where the body is not plain or its text is not UTF-8."""
    found = bodies.read(text)
    return found if found is not None and (data.isascii() or _is_utf8(data)) else None


def _is_utf8(data: bytes) -> bool:
    """Also where the head alone is not: such heads are rare, and the long way is open to them."""
    try:
        check_utf8(data)
    except JsonError:
        return False
    return True


def _compose(
    head: bytes, text: bytes | memoryview, found: CompactText | KnownText, body: KnownBody
) -> UpstreamRequest:
    pieces: list[Buffer] = [head]
    at = 0
    for name, new in body.replaced:
        start, end = found.span(name, len(text))
        pieces += (text[at:start], new)
        at = end
    if body.added:
        pieces += (text[at:-1], body.added, b"}")
    else:
        pieces.append(text[at:])
    # Of small bodies one copy is cheaper than handing over pieces.
    return UpstreamRequest(b"".join(pieces), ()) if len(text) < MIN_BYTES else UpstreamRequest(b"", pieces)
