"""An answer's head: its lines go back to the client as they came, a few of them are read."""

from __future__ import annotations

import re

import msgspec

from byline.quota.reading import QUOTA_PREFIXES

MAX_FIELDS = 256
MAX_KEPT_LINES = 4096
MAX_KEPT_LINE_BYTES = 512
MAX_KEPT_STATUS_LINES = 256
_STATUS_LINE = re.compile(rb"HTTP/1\.([01]) ([1-9][0-9]{2})(?: ([\t\x20-\x7e\x80-\xff]*))?")
_LINE = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([\t\x20-\x7e\x80-\xff]*)", re.DOTALL)
_QUOTA_PREFIXES = tuple(prefix.encode() for prefix in QUOTA_PREFIXES)
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
    is_quota: bool
    """Tells of the provider's limits."""


class ResponseHead(msgspec.Struct, gc=False):
    """Not to be changed: the next answer's may be made from it."""

    status: int
    reason: bytes
    lines: list[bytes]
    """As they came, the status line first."""
    fields: list[AnswerField]
    read: dict[bytes, bytes]
    """Values of the few headers that mean something to the gateway, by lower-case name."""
    travelling: list[bytes]
    """The lines that go back to the client: without what concerned our connection to the provider alone."""
    quota: tuple[bytes, ...]
    """The lines that tell of the provider's limits."""
    content_length: int | None
    chunked: bool
    keep_alive: bool

    @property
    def is_event_stream(self) -> bool:
        return self.read.get(b"content-type", b"").startswith(b"text/event-stream")

    def end_to_end_lines(self) -> list[bytes]:
        """As sent and in order. The list is the caller's own."""
        return self.travelling.copy()


_known: dict[bytes, AnswerField] = {}
_known_status: dict[bytes, tuple[int, bytes, int]] = {}


def read_response_head(lines: list[bytes]) -> ResponseHead:
    """The lines from the status line to the last header. Raises AnswerFramingError."""
    status, reason, minor = _known_status.get(lines[0]) or _read_status(lines[0])
    if len(lines) > MAX_FIELDS + 1:
        raise AnswerFramingError("malformed answer")
    known = _known.get
    fields = [known(line) or _read_line(line) for line in lines[1:]]
    values: dict[bytes, bytes] = {}
    framing = _Framing(keep_alive=minor == 1)
    for field in fields:
        if field.is_read:
            values.setdefault(field.name, field.value)
            if field.is_hop_by_hop:
                framing.add(field.name, field.value)
    dropped = _named_in(values.get(b"connection"))
    travelling = [field.line for field in fields if not field.is_hop_by_hop and field.name not in dropped]
    quota = tuple(field.line for field in fields if field.is_quota)
    return ResponseHead(
        status, reason, lines, fields, values, travelling, quota,
        framing.checked_length(), framing.chunked, framing.keep_alive,
    )  # fmt: skip


def _named_in(connection: bytes | None) -> set[bytes]:
    if connection is None or connection == b"keep-alive":
        return set()
    return {option.strip().lower() for option in connection.split(b",")} - {b"close", b"keep-alive"}


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
    is_quota = name.startswith(_QUOTA_PREFIXES)
    field = AnswerField(name, match[2].rstrip(b" \t"), line, name in _HOP_BY_HOP, name in _READ, is_quota)
    if len(line) <= MAX_KEPT_LINE_BYTES and name != b"set-cookie":
        if len(_known) >= MAX_KEPT_LINES:
            _known.clear()
        _known[line] = field
    return field


class _Framing:
    """Where the answer ends, and whether the connection goes on. One reading or none."""

    def __init__(self, *, keep_alive: bool) -> None:
        self.content_length: int | None = None
        self.chunked = False
        self.keep_alive = keep_alive

    def add(self, name: bytes, value: bytes) -> None:
        match name:
            case b"content-length":
                if self.content_length is not None:
                    raise AnswerFramingError("ambiguous Content-Length")
                self.content_length = read_length(value)
            case b"transfer-encoding":
                if self.chunked or value.lower() != b"chunked":
                    raise AnswerFramingError("unknown Transfer-Encoding")
                self.chunked = True
            case b"connection":
                options = {option.strip().lower() for option in value.split(b",")}
                self.keep_alive = b"close" not in options and (self.keep_alive or b"keep-alive" in options)
            case _:
                pass

    def checked_length(self) -> int | None:
        if self.chunked and self.content_length is not None:
            raise AnswerFramingError("ambiguous length")
        return self.content_length


def read_length(value: bytes) -> int:
    if _LENGTH.fullmatch(value) is None:
        raise AnswerFramingError("ambiguous Content-Length")
    return int(value)
