"""An answer's head: its lines go back to the client as they came, a few of them are read."""

from __future__ import annotations

import re

import msgspec

from byline.quota.reading import QUOTA_NAMES, QUOTA_PREFIXES

MAX_FIELDS = 256
MAX_ID_BYTES = 256
MAX_LENGTH_DIGITS = 15
MAX_KEPT_LINES = 4096
MAX_KEPT_LINE_BYTES = 512
MAX_KEPT_STATUS_LINES = 256
_STATUS_LINE = re.compile(rb"HTTP/1\.([01]) ([1-9][0-9]{2})(?: ([\t\x20-\x7e\x80-\xff]*))?")
_LINE = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([\t\x20-\x7e\x80-\xff]*)", re.DOTALL)
_QUOTA_NAMES = frozenset(name.encode() for name in QUOTA_NAMES)
_QUOTA_PREFIXES = tuple(prefix.encode() for prefix in QUOTA_PREFIXES)
# RFC 9110 section 7.6.1; lengths are restated by whoever frames the answer for the client.
_HOP_BY_HOP = frozenset(
    {
        b"connection", b"content-length", b"keep-alive", b"proxy-authenticate", b"proxy-connection", b"te",
        b"trailer", b"transfer-encoding", b"upgrade", b"x-byline-request-id",
    }
)  # fmt: skip


_DECIDING = frozenset({b"connection", b"transfer-encoding"})
"""Their values say how the rest of the head is to be read."""
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
    beginning: bytes
    """The line up to its value; empty where another value would change more than itself."""
    is_hop_by_hop: bool
    is_read: bool
    is_quota: bool
    """Tells of the provider's limits."""
    is_retry: bool
    """Tells when to try again."""


class HeadLayout(msgspec.Struct, frozen=True):
    """What heads have in common that differ in values alone. Lines are named by their index."""

    names: list[bytes]
    """Lower case; the status line has none."""
    beginnings: list[bytes]
    """Of the lines, up to the value; empty where another value would change more than itself."""
    read: dict[bytes, int]
    """Where the few headers stand that mean something to the gateway, by lower-case name."""
    travelling: tuple[int, ...]
    """The lines that go back to the client: without what concerned our connection to the provider alone."""
    quota: tuple[int, ...]
    """The lines that tell of the provider's limits, and when to try again."""
    tells_quota: bool
    """Of limits, that is: when to try again is said of other troubles too."""
    length_at: int
    """The line of the Content-Length; 0 without one, as with those below."""
    request_id_at: int
    organization_at: int
    is_encoded: bool


class ResponseHead(msgspec.Struct, gc=False):
    """Not to be changed: the next answers' may be made from it."""

    status: int
    reason: bytes
    block: bytes
    """As it came, from the status line to the last header."""
    layout: HeadLayout
    content_length: int | None
    chunked: bool
    keep_alive: bool
    travelling: bytes
    """The lines that go back to the client, as sent and in order."""
    quota: tuple[bytes, ...]
    """The lines of `HeadLayout.quota`; the very same object where they are the last answer's."""
    request_id: str | None
    organization: str | None

    @property
    def lines(self) -> list[bytes]:
        """The status line first."""
        return self.block.split(b"\r\n")

    def value(self, name: bytes) -> bytes | None:
        """Of one of the headers in `_READ`, by its lower-case name."""
        at = self.layout.read.get(name)
        return None if at is None else _value(self.lines[at])

    @property
    def is_event_stream(self) -> bool:
        return (self.value(b"content-type") or b"").startswith(b"text/event-stream")

    def values(self) -> list[tuple[bytes, bytes]]:
        """(lower-case name, value) of every line."""
        return [
            (name, _value(line)) for name, line in zip(self.layout.names, self.lines, strict=True) if name
        ]


def _value(line: bytes) -> bytes:
    return line[line.index(b":") + 1 :].strip(b" \t")


_STATUS = AnswerField(b"", b"", b"", False, False, False, False)
_known: dict[bytes, AnswerField] = {}
_known_status: dict[bytes, tuple[int, bytes, int]] = {}


def read_response_head(block: bytes) -> ResponseHead:
    """From the status line to the last header. Raises AnswerFramingError."""
    lines = block.split(b"\r\n")
    status, reason, minor = _known_status.get(lines[0]) or _read_status(lines[0])
    if len(lines) > MAX_FIELDS + 1:
        raise AnswerFramingError("malformed answer")
    known = _known.get
    fields = [_STATUS, *(known(line) or _read_line(line) for line in lines[1:])]
    framing = _Framing(keep_alive=minor == 1)
    for field in fields:
        if field.is_read and field.is_hop_by_hop:
            framing.add(field.name, field.value)
    length = framing.checked_length()
    layout = _lay_out(fields)
    return ResponseHead(
        status, reason, block, layout, length, framing.chunked, framing.keep_alive,
        b"\r\n".join([lines[index] for index in layout.travelling]),
        tuple(lines[index] for index in layout.quota),
        _id_at(layout.request_id_at, lines, layout), _id_at(layout.organization_at, lines, layout),
    )  # fmt: skip


def read_id(value: bytes) -> str | None:
    """As it goes on a row; None for an empty one."""
    return value.strip(b" \t")[:MAX_ID_BYTES].decode("latin-1").strip() or None


def _id_at(index: int, lines: list[bytes], layout: HeadLayout) -> str | None:
    return read_id(lines[index][len(layout.beginnings[index]) :]) if index else None


def _lay_out(fields: list[AnswerField]) -> HeadLayout:
    read: dict[bytes, int] = {}
    for index, field in enumerate(fields):
        if field.is_read:
            read.setdefault(field.name, index)
    dropped = _named_in(fields[read[b"connection"]].value if b"connection" in read else None)
    return HeadLayout(
        [field.name for field in fields],
        [field.beginning for field in fields],
        read,
        tuple(
            index
            for index, field in enumerate(fields)
            if field.name and not field.is_hop_by_hop and field.name not in dropped
        ),
        tuple(index for index, field in enumerate(fields) if field.is_quota or field.is_retry),
        any(field.is_quota for field in fields),
        read.get(b"content-length", 0),
        read.get(b"request-id") or read.get(b"x-request-id", 0),
        read.get(b"anthropic-organization-id") or read.get(b"openai-organization", 0),
        b"content-encoding" in read,
    )


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
    is_hop_by_hop = name in _HOP_BY_HOP
    beginning = b"" if name in _DECIDING else line[: match.start(2)]
    field = AnswerField(
        name,
        match[2].rstrip(b" \t"),
        beginning,
        is_hop_by_hop,
        name in _READ,
        name.startswith(_QUOTA_PREFIXES),
        name in _QUOTA_NAMES,
    )
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
    if not value.isdigit() or len(value) > MAX_LENGTH_DIGITS:
        raise AnswerFramingError("ambiguous Content-Length")
    return int(value)
