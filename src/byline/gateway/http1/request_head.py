"""A request's head, read strictly: every ambiguous framing is refused (RFC 9112 sections 2 to 6).

Real clients send the same lines with every request, so a line known from before costs one
dictionary look-up. llhttp judges each head that holds a new line, and a head is accepted only where
both readers agree. Lines that carry a credential are read each time and never kept.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import httptools
import msgspec

from byline.gateway.http1.errors import ProtocolError
from byline.gateway.http1.fields import Field, Travel, read_field

MAX_FIELDS = 128
MAX_KEPT_REQUEST_LINES = 1024
MAX_KEPT_LINES = 4096
MAX_KEPT_LINE_BYTES = 1024
MAX_TARGET_BYTES = 8192
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
    content_length: int = 0
    chunked: bool = False
    keep_alive: bool = True
    expects_continue: bool = False
    wants_upgrade: bool = False
    content_encoding: bytes = b""
    connection_options: frozenset[bytes] = frozenset()
    """Header names that the client's Connection header declared hop-by-hop."""

    def get(self, name: bytes) -> bytes | None:
        for field in self.fields:
            if field.name == name:
                return field.value
        return None

    def pairs(self) -> list[tuple[bytes, bytes]]:
        return [(field.name, field.value) for field in self.fields]

    @property
    def has_body(self) -> bool:
        return self.chunked or self.content_length > 0


class RequestHeadReader:
    """Reads the head of requests; holds the caches of a worker."""

    def __init__(self, identity_headers: frozenset[bytes] = frozenset()) -> None:
        self._identity_headers = identity_headers
        self._known: dict[bytes, Field] = {}
        self._lines: dict[bytes, RequestLine] = {}

    def read(self, head: bytes) -> RequestHead:
        """`head` runs from the request line to the last header line, without the empty line.

        Raises ProtocolError(400, 417, 431, 501 or 505).
        """
        lines = head.split(b"\r\n")
        if len(lines) > MAX_FIELDS + 1:
            raise ProtocolError(431, f"more than {MAX_FIELDS} header lines")
        request_line = self._lines.get(lines[0]) or self._read_request_line(lines[0])
        known = self._known.get
        fields: list[Field] = []
        vet = False
        for line in lines[1:]:
            field = known(line)
            if field is None:
                field = read_field(line, self._identity_headers)
                vet = vet or field.travel != Travel.CREDENTIAL
            fields.append(field)
        if vet:
            self._vet(head, fields)
        return _apply_framing(RequestHead(request_line, fields))

    def _vet(self, head: bytes, fields: Sequence[Field]) -> None:
        """A second opinion on lines not seen before; afterwards they are known."""
        seen: list[tuple[bytes, bytes]] = []
        listener = _HeaderCollector(seen)
        try:
            httptools.HttpRequestParser(listener).feed_data(head + b"\r\n\r\n")
        except httptools.HttpParserUpgrade:
            pass  # answered with 426 further on
        except httptools.HttpParserError as error:
            raise ProtocolError(400, "malformed request head") from error
        if seen != [(field.name, field.value) for field in fields]:
            raise ProtocolError(400, "ambiguous request head")
        self._keep(fields)

    def _keep(self, fields: Sequence[Field]) -> None:
        if len(self._known) + len(fields) > MAX_KEPT_LINES:
            self._known.clear()
        for field in fields:
            if field.travel != Travel.CREDENTIAL and len(field.line) <= MAX_KEPT_LINE_BYTES:
                self._known[field.line] = field

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
    def __init__(self, seen: list[tuple[bytes, bytes]]) -> None:
        self._seen = seen

    def on_header(self, name: bytes, value: bytes) -> None:
        self._seen.append((name.lower(), value.rstrip(b" \t")))


def _bad_request_line(line: bytes) -> ProtocolError:
    if re.fullmatch(rb".* HTTP/[0-9.]+", line) and not line.endswith((b"HTTP/1.0", b"HTTP/1.1")):
        return ProtocolError(505, "only HTTP/1.1 and HTTP/1.0 are spoken here")
    return ProtocolError(400, "malformed request line")


def _apply_framing(head: RequestHead) -> RequestHead:
    """Where the body ends, and whether the connection goes on. One reading or none."""
    hosts = lengths = 0
    head.keep_alive = head.line.minor == 1
    for field in head.fields:
        if field.travel != Travel.FRAMING:
            continue
        match field.name:
            case b"content-length":
                lengths += 1
                head.content_length = _read_length(field.value)
            case b"transfer-encoding":
                _require_chunked(head, field.value)
            case b"host":
                hosts += 1
            case b"connection":
                _read_connection(head, field.value)
            case b"expect":
                _read_expect(head, field.value)
            case b"upgrade":
                head.wants_upgrade = True
            case b"content-encoding":
                _read_content_encoding(head, field.value)
            case _:
                pass
    if lengths > 1 or (lengths and head.chunked):
        raise ProtocolError(400, "more than one statement of the body's length")
    if hosts != 1 and (hosts > 1 or head.line.minor == 1):
        raise ProtocolError(400, "exactly one Host header is required")
    return head


def _read_length(value: bytes) -> int:
    if _LENGTH.fullmatch(value) is None:
        raise ProtocolError(400, "malformed Content-Length")
    return int(value)


def _require_chunked(head: RequestHead, value: bytes) -> None:
    if head.chunked or head.line.minor == 0:
        raise ProtocolError(400, "ambiguous Transfer-Encoding")
    if value.lower() != b"chunked":
        raise ProtocolError(501, "the only Transfer-Encoding spoken here is `chunked`")
    head.chunked = True


def _read_connection(head: RequestHead, value: bytes) -> None:
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
