"""The last head of a connection: its next one differs from it in the body's length alone, mostly.

Telling that takes a third of recalling it among all heads. A head holds a credential, so what is kept are
hashes, as CPython makes them (SipHash, 64 bits, under a key of the process unless PYTHONHASHSEED says otherwise). Nobody
sees them: whoever sends another credential over this very connection would have to hit them blindly.
A connection keeps what it knows of its head alive, beyond `callers.MAX_HEADS` and until it ends or asks again.
"""

from __future__ import annotations

import msgspec

from byline.gateway.callers import LENGTH_NAMES, KnownHead, Recalled


class LastHead(msgspec.Struct, frozen=True, gc=False):
    """Positions are those in a read that begins with the head."""

    known: KnownHead
    length_at: int
    """Of the Content-Length's digits, then their end: one that is longer is recalled the other way."""
    length_end: int
    body_at: int
    before: int
    """Hash of what stands before the length."""
    behind: int
    """Hash of what stands behind it, up to the body."""

    def length_in(self, data: bytes) -> int | None:
        """The length that `data` states if it begins with the same head; None if it does not."""
        digits = data[self.length_at : self.length_end]
        if (
            hash(data[: self.length_at]) == self.before
            and hash(data[self.length_end : self.body_at]) == self.behind
            and digits.isdigit()
        ):
            return int(digits)
        return None


def last_head(data: bytes, head_end: int, recalled: Recalled) -> LastHead | None:
    """Of a head that was recalled. None where more than the length will differ, or where none is stated."""
    if recalled.traceparent is not None:
        return None
    for name in LENGTH_NAMES:
        at = data.find(name, 0, head_end) + len(name)
        if at >= len(name):
            end, body_at = data.index(b"\r\n", at), head_end + 4
            return LastHead(recalled.known, at, end, body_at, hash(data[:at]), hash(data[end:body_at]))
    return None
