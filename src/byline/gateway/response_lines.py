"""Which header lines of an answer travel back to the client: all that are end to end."""

from __future__ import annotations

from byline.gateway.http1.response import ResponseHead

# RFC 9110 section 7.6.1; lengths are restated by whoever frames the answer.
_HOP_BY_HOP = frozenset(
    {
        b"connection", b"content-length", b"keep-alive", b"proxy-authenticate", b"proxy-connection", b"te",
        b"trailer", b"transfer-encoding", b"upgrade", b"x-byline-request-id",
    }
)  # fmt: skip


def end_to_end_lines(head: ResponseHead, request_id: str) -> list[bytes]:
    """Header lines as sent, in their order, and `x-byline-request-id`."""
    dropped = _HOP_BY_HOP
    connection = head.get(b"connection")
    if connection is not None:
        dropped = dropped | {option.strip().lower() for option in connection.split(b",")}
    lines = [name + b": " + value for lower, value, name in head.fields if lower not in dropped]
    lines.append(b"x-byline-request-id: " + request_id.encode())
    return lines
