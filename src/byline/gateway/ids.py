"""Identifiers made at accept: request ids that sort by time, and trace context."""

from __future__ import annotations

import re

import msgspec

from byline.usage.ids import new_uuid7, new_uuid7_digits, with_hyphens

__all__ = ["TraceContext", "new_uuid7", "open_ids"]

_TRACEPARENT = re.compile(rb"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})")


class TraceContext(msgspec.Struct, frozen=True, gc=False):
    trace_id: str
    span_id: str
    parent_span_id: str | None
    sampled: bool | None

    def traceparent(self) -> bytes:
        """The W3C header that makes our span the parent of whatever comes upstream."""
        return f"00-{self.trace_id}-{self.span_id}-{'01' if self.sampled else '00'}".encode()


def open_ids(epoch_s: float, traceparent: bytes | None) -> tuple[str, TraceContext]:
    """The request's id and its W3C trace context, level 1.

    The span id is the random end of the request id; without a parent the trace id is the whole of it,
    so that spans and rows name each other. A malformed or all-zero parent starts a new trace.
    """
    digits = new_uuid7_digits(epoch_s)
    match = _TRACEPARENT.match(traceparent) if traceparent else None
    if match is None or match[1] == b"ff" or not match[2].strip(b"0") or not match[3].strip(b"0"):
        return with_hyphens(digits), TraceContext(digits, digits[16:], None, None)
    sampled = bool(int(match[4], 16) & 1)
    return with_hyphens(digits), TraceContext(match[2].decode(), digits[16:], match[3].decode(), sampled)
