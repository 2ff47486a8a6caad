"""An answer's head: its lines go back to the client as they came, a few of them are read."""

from __future__ import annotations

import re
from collections.abc import Sequence

import msgspec

MAX_FIELDS = 256
MAX_KEPT_LINES = 4096
MAX_KEPT_LINE_BYTES = 512
MAX_KEPT_STATUS_LINES = 256
_STATUS_LINE = re.compile(rb"HTTP/1\.([01]) ([1-9][0-9]{2})(?: ([\t\x20-\x7e\x80-\xff]*))?")
_LINE = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([\t\x20-\x7e\x80-\xff]*)", re.DOTALL)
_LENGTH = re.compile(rb"[0-9]{1,15}")
# RFC 9110 section 7.6.1; lengths are restated by whoever frames the answer for the client.
_HOP_BY_HOP = frozenset(
    {
        b"connection", b"content-length", b"keep-alive", b"proxy-authenticate", b"proxy-connection", b"te",
        b"trailer", b"transfer-encoding", b"upgrade", b"x-byline-request-id",
    }
)  # fmt: skip


_READ = frozenset(
    {
        b"anthropic-organization-id", b"connection", b"content-encoding", b"content-length",
        b"content-type", b"openai-organization", b"request-id", b"transfer-encoding", b"x-request-id",
    }
)  # fmt: skip


class AnswerFramingError(Exception):
    """The upstream's bytes are not one clean HTTP/1.1 answer: never reuse its connection."""


class AnswerField(msgspec.Struct, frozen=True, gc=False):
    name: bytes
    """Lower case."""
    value: bytes
    line: bytes
    is_hop_by_hop: bool
    is_read: bool


class ResponseHead(msgspec.Struct, gc=False):
    status: int
    reason: bytes
    fields: Sequence[AnswerField]
    read: dict[bytes, bytes]
    """Values of the few headers that mean something to the gateway, by lower-case name."""
    content_length: int | None = None
    chunked: bool = False
    keep_alive: bool = True

    @property
    def is_event_stream(self) -> bool:
        return self.read.get(b"content-type", b"").startswith(b"text/event-stream")

    def end_to_end_lines(self) -> list[bytes]:
        """As sent and in order, without what concerned our connection to the provider alone."""
        dropped = self._named_in_connection()
        if not dropped:
            return [field.line for field in self.fields if not field.is_hop_by_hop]
        return [field.line for field in self.fields if not field.is_hop_by_hop and field.name not in dropped]

    def _named_in_connection(self) -> set[bytes]:
        options = self.read.get(b"connection")
        if options is None or options == b"keep-alive":
            return set()
        return {option.strip().lower() for option in options.split(b",")} - {b"close", b"keep-alive"}


_known: dict[bytes, AnswerField] = {}
_known_status: dict[bytes, tuple[int, bytes, int]] = {}


def read_response_head(head: bytes) -> ResponseHead:
    """`head` without the empty line at its end. Raises AnswerFramingError."""
    lines = head.split(b"\r\n")
    first = lines.pop(0)
    status, reason, minor = _known_status.get(first) or _read_status(first)
    if len(lines) > MAX_FIELDS:
        raise AnswerFramingError("malformed answer")
    known = _known.get
    values: dict[bytes, bytes] = {}
    fields: list[AnswerField] = []
    parsed = ResponseHead(status, reason, fields, values, keep_alive=minor == 1)
    for line in lines:
        field = known(line) or _read_line(line)
        fields.append(field)
        if field.is_read:
            values.setdefault(field.name, field.value)
            if field.is_hop_by_hop:
                _apply_framing(parsed, field)
    if parsed.chunked and parsed.content_length is not None:
        raise AnswerFramingError("ambiguous length")
    return parsed


def _read_status(line: bytes) -> tuple[int, bytes, int]:
    match = _STATUS_LINE.fullmatch(line)
    if match is None:
        raise AnswerFramingError("malformed answer")
    found = int(match[2]), match[3] or b"", int(match[1])
    if len(_known_status) < MAX_KEPT_STATUS_LINES:
        _known_status[line] = found
    return found


def _read_line(line: bytes) -> AnswerField:
    match = _LINE.fullmatch(line)
    if match is None:
        raise AnswerFramingError("malformed header line")
    name = match[1].lower()
    field = AnswerField(name, match[2].rstrip(b" \t"), line, name in _HOP_BY_HOP, name in _READ)
    if len(line) <= MAX_KEPT_LINE_BYTES and name != b"set-cookie":
        if len(_known) >= MAX_KEPT_LINES:
            _known.clear()
        _known[line] = field
    return field


def _apply_framing(head: ResponseHead, field: AnswerField) -> None:
    match field.name:
        case b"content-length":
            if head.content_length is not None or _LENGTH.fullmatch(field.value) is None:
                raise AnswerFramingError("ambiguous Content-Length")
            head.content_length = int(field.value)
        case b"transfer-encoding":
            if head.chunked or field.value.lower() != b"chunked":
                raise AnswerFramingError("unknown Transfer-Encoding")
            head.chunked = True
        case b"connection":
            options = {option.strip().lower() for option in field.value.split(b",")}
            head.keep_alive = b"close" not in options and (head.keep_alive or b"keep-alive" in options)
        case _:
            pass
