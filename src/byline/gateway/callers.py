"""What stays the same between one client's requests, worked out once.

A client that asks again sends the same head, but for the body's length and the trace, and the same
identity field. Who that is, what is stamped and which lines travel is then known already. A head is
remembered by a keyed digest, never by its bytes: it holds the client's credential. Whatever changes
in the control database makes everything be worked out anew.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import Protocol

import msgspec

from byline.apis.api import Family
from byline.gateway.auth.admission import Admission
from byline.gateway.http1.fields import Travel
from byline.gateway.http1.request_head import RequestHead
from byline.gateway.routes import Route
from byline.identity.identifier import Decision
from byline.identity.model import Attribution
from byline.usage.record import UsageRecord
from byline.wire.keyed_digest import new_keyed_digest

MAX_HEADS = 2048
MAX_HEAD_BYTES = 8192
MAX_CALLERS_PER_HEAD = 16
MAX_LENGTH_DIGITS = 15
LENGTH_NAMES = (b"\r\nContent-Length: ", b"\r\ncontent-length: ")
"""As clients write it; heads with another spelling are not remembered."""


class Caller(msgspec.Struct, frozen=True):
    """One client with one identity field: attributed, stamped and paid for the same way each time."""

    attribution: Attribution
    decision: Decision | None
    """None where the API has no identity field."""
    overwrites: bool
    record: UsageRecord
    """The row as far as it is known before the request itself: to be copied."""
    head_start: bytes
    """The upstream request's head, up to its last lines."""


class KnownHead(msgspec.Struct, frozen=True):
    """A head that was authenticated and routed, without its credentials."""

    head: RequestHead
    family: Family
    route: Route
    admission: Admission
    key_id: str
    generation: int
    expires_at: float | None
    serial: bytes
    """Its own for ever, also when the same head is read anew: what was concluded of it ends with it."""
    repeatable: bool
    """Its body, if all there and plain, may be known as well."""
    callers: dict[str | None, Caller] = {}
    """By what the client sent in the identity field."""


class KeyState(Protocol):
    """The directory of keys, as far as memory depends on it."""

    @property
    def generation(self) -> int: ...
    def use(self, key_id: str, generation: int, at: float) -> bool:
        """False: what was concluded in that generation holds no more, and nothing is recorded."""
        ...

    def expiry(self, key_id: str) -> float | None: ...


class Recalled(msgspec.Struct, frozen=True, gc=False):
    known: KnownHead
    content_length: int
    body_at: int
    """Where a body begins that comes with the head."""
    traceparent: bytes | None
    at: float
    """By the wall clock."""


class HeadMemory:
    """Heads that were let in by a Byline key. One per worker."""

    def __init__(self, keys: KeyState, wall: Callable[[], float]) -> None:
        self._keys = keys
        self._wall = wall
        self._digest = new_keyed_digest()
        self._known: dict[bytes, KnownHead] = {}
        self._serials = count()

    def recall(self, block: bytes) -> Recalled | None:
        """None: read, authenticate and route it as if it were the first."""
        blanked = _blank(block)
        if blanked is None:
            return None
        text, content_length, traceparent = blanked
        known = self._known.get(self._digest(text))
        now = None if known is None else self.let_in(known)
        if known is None or now is None:
            return None
        return Recalled(known, content_length, len(block) + 4, traceparent, now)

    def let_in(self, known: KnownHead) -> float | None:
        """When, by the wall clock. None: not any more, whoever has it must be authenticated anew."""
        wall = self._wall
        now = wall()
        if (known.expires_at is None or now < known.expires_at) and self._keys.use(
            known.key_id, known.generation, now
        ):
            return now
        return None

    def remember(
        self, block: bytes, head: RequestHead, family: Family, route: Route, admission: Admission
    ) -> KnownHead | None:
        """None where it is not to be remembered: only keys stand still, and credentials stay out."""
        key_id = admission.grant.key_id
        if key_id is None or admission.client_credential is not None or len(block) > MAX_HEAD_BYTES:
            return None
        # Beside a second credential, which may end before the one that counts.
        if sum(field.travel == Travel.CREDENTIAL for field in head.fields) > 1:
            return None
        blanked = _blank(block)
        # Where it says otherwise, the length or the trace is spelt in a way that is not blanked.
        if blanked is None or blanked[1:] != (head.content_length, head.get(b"traceparent")):
            return None
        if len(self._known) >= MAX_HEADS:
            self._known.clear()
        known = KnownHead(
            head.without_credentials(),
            family,
            route,
            admission,
            key_id,
            self._keys.generation,
            self._keys.expiry(key_id),
            next(self._serials).to_bytes(8, "big"),
            bool(route.api.identity_field) and not head.content_encoding and not head.chunked,
            {},
        )
        self._known[self._digest(blanked[0])] = known
        return known


def _blank(block: bytes) -> tuple[bytes, int, bytes | None] | None:
    """The head without the values that differ from request to request, then these: length and trace.

    Their names stay in place, so that one more or one less of them makes another head. None
    where such a value is no plain number or trace: it was never read as strictly as the rest.
    """
    length, traceparent = 0, None
    before, name, after = block.partition(LENGTH_NAMES[0])
    if not name:
        before, name, after = block.partition(LENGTH_NAMES[1])
    if name:
        digits, line_end, after = after.partition(b"\r\n")
        if len(digits) > MAX_LENGTH_DIGITS or not digits.isdigit():
            return None
        length = int(digits)
        block = b"".join((before, name, line_end, after))
    before, name, after = block.partition(b"\r\ntraceparent: ")
    if name:
        traceparent, line_end, after = after.partition(b"\r\n")
        if not traceparent.replace(b"-", b"").isalnum():
            return None
        block = b"".join((before, name, line_end, after))
    return block, length, traceparent
