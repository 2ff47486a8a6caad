"""What an attempt's columns begin with, fixed at accept: its ids, its time and its trace."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from byline.usage.ids import new_uuid7_and_digits
from byline.usage.record import AttemptColumns

_TRACEPARENT = re.compile(rb"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})")


def open_columns(epoch_s: float, parent: bytes | None) -> AttemptColumns:
    """Of a request's first attempt; `parent` is the client's `traceparent` (W3C trace context, level 1).

    The span id is the random end of the request id; without a parent the trace id is the whole of it,
    so that spans and rows name each other. A malformed or all-zero parent starts a new trace.
    """
    request_id, digits = new_uuid7_and_digits(epoch_s)
    columns = AttemptColumns(
        request_id=request_id,
        exchange_id=request_id,
        started_at=datetime.fromtimestamp(epoch_s, UTC),
        trace_id=digits,
        span_id=digits[16:],
    )
    if parent is not None:
        _continue_trace(columns, parent)
    return columns


def reopen_columns(first: AttemptColumns, epoch_s: float) -> AttemptColumns:
    """Of the attempt after `first`, for the same request."""
    request_id, digits = new_uuid7_and_digits(epoch_s)
    return AttemptColumns(
        request_id=request_id,
        exchange_id=first.exchange_id,
        attempt=first.attempt + 1,
        started_at=first.started_at,
        trace_id=first.trace_id,
        span_id=digits[16:],
        parent_span_id=first.parent_span_id,
        trace_sampled=first.trace_sampled,
    )


def traceparent(columns: AttemptColumns) -> bytes:
    """The W3C header that makes our span the parent of whatever comes upstream."""
    return f"00-{columns.trace_id}-{columns.span_id}-{'01' if columns.trace_sampled else '00'}".encode()


def _continue_trace(columns: AttemptColumns, parent: bytes) -> None:
    match = _TRACEPARENT.match(parent)
    if match is None or match[1] == b"ff" or not match[2].strip(b"0") or not match[3].strip(b"0"):
        return
    columns.trace_id, columns.parent_span_id = match[2].decode(), match[3].decode()
    columns.trace_sampled = bool(int(match[4], 16) & 1)
