"""A request's head, read strictly: every ambiguous framing is refused (RFC 9112 sections 2 to 6).

Real clients send the same lines with every request, so a line known from before costs one
dictionary look-up. Lines that carry a credential are read each time and never kept. llhttp gives a
second opinion on each head with a header name not seen before: both readers must agree.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from copy import copy

import httptools
import msgspec

from byline.gateway.http1.errors import ProtocolError
from byline.gateway.http1.fields import Field, Travel, read_field

MAX_FIELDS = 128
MAX_TARGET_BYTES = 8192
MAX_KEPT_REQUEST_LINES = 1024
MAX_KEPT_LINES = 4096
MAX_KEPT_LINE_BYTES = 1024
_REQUEST_LINE = re.compile(rb"([A-Z]{1,16}) (\S+) HTTP/1\.([01])")
_TARGET = re.compile(rb"/[\x21\x22\x24-\x7e]*")  # origin-form, visible ASCII, no fragment
_LENGTH = re.compile(rb"[0-9]{1,15}")


class RequestLine(msgspec.Struct, frozen=True, gc=False):
    method: bytes
    target: bytes
    path: str
    query: bytes
    """With its `?`, or empty."""
    minor: int
    """1 for HTTP/1.1, 0 for HTTP/1.0."""


class RequestHead(msgspec.Struct, gc=False):
    line: RequestLine
    fields: list[Field]
    """Every header line, in order."""
    read: list[tuple[bytes, bytes]]
    """(lower-case name, value) of those that mean something to the gateway; framing aside."""
    content_length: int = 0
    chunked: bool = False
    keep_alive: bool = True
    expects_continue: bool = False
    wants_upgrade: bool = False
    content_encoding: bytes = b""
    connection_options: frozenset[bytes] = frozenset()
    """Header names that the client's Connection header declared hop-by-hop."""

    def get(self, name: bytes) -> bytes | None:
        """The first of that name among `read`."""
        for known, value in self.read:
            if known == name:
                return value
        return None

    def without_credentials(self) -> RequestHead:
        """A copy that may be kept."""
        kept = copy(self)
        kept.fields = [field for field in self.fields if field.travel != Travel.CREDENTIAL]
        names = {field.name for field in self.fields if field.travel == Travel.CREDENTIAL}
        kept.read = [pair for pair in self.read if pair[0] not in names]
        return kept

    @property
    def has_body(self) -> bool:
        return self.chunked or self.content_length > 0


class RequestHeadReader:
    """Reads the head of requests; holds the caches of a worker."""

    def __init__(self, identity_headers: frozenset[bytes] = frozenset()) -> None:
        """`identity_headers`: lower-case names by which a trusted proxy names the user."""
        self._identity_headers = identity_headers
        self._known: dict[bytes, Field] = {}
        self._names: set[bytes] = set()
        self._has_new_name = False
        self._lines: dict[bytes, RequestLine] = {}

    def read(self, head: bytes) -> RequestHead:
        """`head` runs from the request line to the last header line, without the empty line.

        Raises ProtocolError(400, 414, 417, 431, 501 or 505).
        """
        lines = head.split(b"\r\n")
        first = lines.pop(0)
        if len(lines) > MAX_FIELDS:
            raise ProtocolError(431, f"more than {MAX_FIELDS} header lines")
        request_line = self._lines.get(first) or self._read_request_line(first)
        known = self._known.get
        fields = [known(line) or self._read_line(line) for line in lines]
        if self._has_new_name:
            self._vet(head, fields)
        return _apply_framing(request_line, fields)

    def _read_line(self, line: bytes) -> Field:
        field = read_field(line, self._identity_headers)
        if field.name not in self._names:
            self._has_new_name = True
        elif field.travel != Travel.CREDENTIAL and len(line) <= MAX_KEPT_LINE_BYTES:
            if len(self._known) >= MAX_KEPT_LINES:
                self._known.clear()
            self._known[line] = field
        return field

    def _vet(self, head: bytes, fields: Sequence[Field]) -> None:
        """llhttp's opinion of a head with names not seen before. No line is kept before it was given."""
        self._has_new_name = False
        collector = _HeaderCollector()
        try:
            httptools.HttpRequestParser(collector).feed_data(head + b"\r\n\r\n")
        except httptools.HttpParserUpgrade:
            pass  # answered with 426 further on
        except httptools.HttpParserError as error:
            raise ProtocolError(400, "malformed request head") from error
        if collector.headers != [(field.name, field.value) for field in fields]:
            raise ProtocolError(400, "ambiguous request head")
        if len(self._names) > MAX_KEPT_LINES:
            self._names.clear()
        self._names.update(field.name for field in fields)

    def _read_request_line(self, line: bytes) -> RequestLine:
        match = _REQUEST_LINE.fullmatch(line)
        if match is None:
            raise _bad_request_line(line)
        if len(match[2]) > MAX_TARGET_BYTES:
            raise ProtocolError(414, f"the request target is longer than {MAX_TARGET_BYTES} bytes")
        if _TARGET.fullmatch(match[2]) is None:
            raise ProtocolError(400, "the request target must be a path (origin-form)")
        path, mark, query = match[2].partition(b"?")
        parsed = RequestLine(match[1], match[2], path.decode("ascii"), mark + query, int(match[3]))
        if len(self._lines) >= MAX_KEPT_REQUEST_LINES:
            self._lines.clear()
        self._lines[line] = parsed
        return parsed


class _HeaderCollector:
    def __init__(self) -> None:
        self.headers: list[tuple[bytes, bytes]] = []

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name.lower(), value.rstrip(b" \t")))


def _bad_request_line(line: bytes) -> ProtocolError:
    if re.fullmatch(rb".* HTTP/[0-9.]+", line) and not line.endswith((b"HTTP/1.0", b"HTTP/1.1")):
        return ProtocolError(505, "only HTTP/1.1 and HTTP/1.0 are spoken here")
    return ProtocolError(400, "malformed request line")


def _apply_framing(request_line: RequestLine, fields: list[Field]) -> RequestHead:
    """Where the body ends, and whether the connection goes on. One reading or none."""
    read: list[tuple[bytes, bytes]] = []
    head = RequestHead(request_line, fields, read, keep_alive=request_line.minor == 1)
    hosts = lengths = 0
    for field in [field for field in fields if field.is_read]:
        name = field.name
        if field.travel != Travel.FRAMING:
            read.append((name, field.value))
        elif name == b"host":
            hosts += 1
        else:
            lengths += name == b"content-length"
            _FRAMING_READERS[name](head, field.value)
    if lengths > 1 or (lengths and head.chunked):
        raise ProtocolError(400, "more than one statement of the body's length")
    if hosts != 1 and (hosts > 1 or request_line.minor == 1):
        raise ProtocolError(400, "exactly one Host header is required")
    return head


def _read_length(head: RequestHead, value: bytes) -> None:
    if _LENGTH.fullmatch(value) is None:
        raise ProtocolError(400, "malformed Content-Length")
    head.content_length = int(value)


def _require_chunked(head: RequestHead, value: bytes) -> None:
    if head.chunked or head.line.minor == 0:
        raise ProtocolError(400, "ambiguous Transfer-Encoding")
    if value.lower() != b"chunked":
        raise ProtocolError(501, "the only Transfer-Encoding spoken here is `chunked`")
    head.chunked = True


def _read_connection(head: RequestHead, value: bytes) -> None:
    if value == b"keep-alive" and head.line.minor == 1:
        return
    options = {option.strip().lower() for option in value.split(b",")} - {b""}
    if b"close" in options:
        head.keep_alive = False
    elif b"keep-alive" in options and head.line.minor == 0:
        head.keep_alive = True
    head.connection_options |= options - {b"close", b"keep-alive"}


def _read_expect(head: RequestHead, value: bytes) -> None:
    if value.lower() != b"100-continue":
        raise ProtocolError(417, "the only expectation met here is `100-continue`")
    head.expects_continue = head.line.minor == 1


def _read_content_encoding(head: RequestHead, value: bytes) -> None:
    if head.content_encoding:
        raise ProtocolError(415, "one Content-Encoding at most")
    head.content_encoding = value.lower() if value.lower() != b"identity" else b""


def _note_upgrade(head: RequestHead, _value: bytes) -> None:
    head.wants_upgrade = True


_FRAMING_READERS: dict[bytes, Callable[[RequestHead, bytes], None]] = {
    b"connection": _read_connection,
    b"content-encoding": _read_content_encoding,
    b"content-length": _read_length,
    b"expect": _read_expect,
    b"transfer-encoding": _require_chunked,
    b"upgrade": _note_upgrade,
}
