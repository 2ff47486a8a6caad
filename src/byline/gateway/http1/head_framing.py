"""Finds the end of a request's head in what has come so far."""

from __future__ import annotations

from byline.gateway.http1.errors import ProtocolError


def find_head_end(data: bytes, max_bytes: int) -> int:
    """Index of the empty line's CRLFCRLF, or -1. One empty line before a request is passed over.

    Raises ProtocolError: 431 when too long, 400 for a bare line feed, which some parsers take for
    the end of a line and others don't (RFC 9112 section 2.2).
    """
    end = data.find(b"\r\n\r\n", 2 if data.startswith(b"\r\n") else 0)
    if end > max_bytes or (end < 0 and len(data) > max_bytes):
        raise ProtocolError(431, f"the request head is longer than {max_bytes} bytes")
    # Counted, because a slow head is looked at again with each byte: a search took milliseconds.
    if end < 0 and data.count(b"\n") != data.count(b"\r\n"):
        raise ProtocolError(400, "bare line feed in the request head")
    return end
