"""The members of one JSON object: their raw values, where each stands, and which names repeat.

Finds the exact byte range of a member without turning values into Python objects, so that a splice
changes that member and nothing else. Refuses what parsers are known to read differently (byte-order
marks, broken UTF-8, lone surrogates). Says which names repeat; whether that matters is the caller's
decision. Knows no API and no field names.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Sequence

import msgspec

MAX_MEMBERS = 10_000
"""Members are walked one by one in Python, so a body of millions of them would hold the event loop."""

_RENDER_LIMIT = 256 * 1024
"""Up to this size a body is compared with its own re-rendering, which copies it."""
_UTF8_PIECE = 16 * 1024
"""Measured: whole bodies decode at half the speed, their widened strings leave the cache."""

_TIGHT = (b",", b":")
_SPACED = (b", ", b": ")
_SPACE = ord(" ")

_members = msgspec.json.Decoder(dict[str, msgspec.Raw])
_value = msgspec.json.Decoder(msgspec.Raw)
_string = msgspec.json.Decoder(str)
_encode = msgspec.json.Encoder().encode

# msgspec has accepted the whole text before these run, so `\s` can only meet JSON's four blanks.
_BEFORE_VALUE = re.compile(rb'\s*+[,{]\s*+("[^"\\]*+(?:\\.[^"\\]*+)*+")\s*+:\s*+')
_CLOSE = re.compile(rb"\s*+[,{]?\s*+\}\s*+\Z")
_VALUE_END = re.compile(r"trailing characters \(byte (\d+)\)")


class JsonError(ValueError):
    """The text can't be read as one unambiguous JSON object. The message never quotes the text."""


class JsonObject:
    """One object's members. `values` hold the last of repeated names, in order of first appearance."""

    __slots__ = ("_separators", "_starts", "duplicates", "source", "values")

    def __init__(
        self,
        source: bytes,
        values: dict[str, msgspec.Raw],
        starts: dict[str, int] | None = None,
        separators: tuple[bytes, bytes] = _TIGHT,
        duplicates: frozenset[str] = frozenset(),
    ) -> None:
        self.source = source
        self.values = values
        self.duplicates = duplicates
        self._starts = starts
        self._separators = separators

    def span(self, name: str) -> tuple[int, int]:
        """Where the value of a member stands in `source`."""
        starts = self._starts
        start = self._rendered_start(name) if starts is None else starts[name]
        return start, start + len(self.values[name])

    def close(self) -> int:
        """Where the closing brace stands in `source`."""
        return self.source.rindex(b"}")

    def _rendered_start(self, wanted: str) -> int:
        comma, colon = map(len, self._separators)
        at = 1 + colon
        for name, raw in self.values.items():
            at += len(_encode(name))
            if name == wanted:
                return at
            at += len(raw) + comma + colon
        raise KeyError(wanted)


def read_object(source: bytes) -> JsonObject:
    """Reads a JSON object in full. Raises JsonError; check UTF-8 apart with `check_utf8`."""
    values = _decode(source)
    if len(values) > MAX_MEMBERS:
        raise JsonError(f"has more than {MAX_MEMBERS} members")
    if (separators := _rendering(source, values)) is not None:
        return JsonObject(source, values, None, separators)
    if (starts := _walk(source, values)) is not None:
        return JsonObject(source, values, starts)
    starts, duplicates = _walk_duplicates(source)
    return JsonObject(source, values, starts, duplicates=duplicates)


def check_utf8(source: bytes) -> None:
    """Raises JsonError unless `source` is well-formed UTF-8; memory stays bounded."""
    if source.isascii():
        return
    view, at, length = memoryview(source), 0, len(source)
    try:
        while at < length:
            final = at + _UTF8_PIECE >= length
            at += codecs.utf_8_decode(view[at : at + _UTF8_PIECE], "strict", final)[1]
    except UnicodeDecodeError as error:
        raise JsonError(f"is not valid UTF-8 (byte {at + error.start})") from None


def read_string(raw: msgspec.Raw | None) -> str | None:
    """The string a raw value holds; None where it is absent or something else."""
    try:
        return None if raw is None else _string.decode(raw)
    except (msgspec.DecodeError, ValueError):
        return None


def _decode(source: bytes) -> dict[str, msgspec.Raw]:
    try:
        return _members.decode(source)
    except msgspec.ValidationError:
        problem = "is not a JSON object"
    except RecursionError:
        problem = "is nested too deeply"
    except UnicodeDecodeError:
        problem = "is not valid UTF-8"
    except msgspec.DecodeError as error:
        problem = f"is not valid JSON: {_explain(error)}"
    if source.startswith(codecs.BOM_UTF8):
        problem = "starts with a byte-order mark; send plain UTF-8"
    elif not source.strip():
        problem = "is empty; a JSON object is expected"
    else:
        check_utf8(source)
    raise JsonError(problem)


def _explain(error: msgspec.DecodeError) -> str:
    text = str(error).removeprefix("JSON is malformed: ")
    # msgspec says "truncated" of a lone surrogate too, which would send people looking at the end.
    return "it ends early or holds half a surrogate pair" if "truncated" in text else text


def _rendering(source: bytes, values: dict[str, msgspec.Raw]) -> tuple[bytes, bytes] | None:
    """The separators by which rendering `values` gives `source` byte for byte, if there are any.

    Every name stands once in the rendering, so equality proves that none repeats in the source, for
    about a tenth of the cost of walking it. Nearly all clients write one of the two common styles.
    """
    if not values or len(source) > _RENDER_LIMIT:
        return None
    if source[source.find(b'":') + 2] != _SPACE:
        return _TIGHT if _encode(values) == source else None
    return _SPACED if _render(values, *_SPACED) == source else None


def _render(values: dict[str, msgspec.Raw], comma: bytes, colon: bytes) -> bytes:
    parts: list[bytes] = []
    for name, raw in values.items():
        parts += (comma, _encode(name), colon, raw)
    parts[0] = b"{"
    parts.append(b"}")
    return b"".join(parts)


def _walk(source: bytes, values: dict[str, msgspec.Raw]) -> dict[str, int] | None:
    """Where each value starts; None if a name repeats.

    Each value has to stand where the walk expects it. JSON values delimit themselves, so a match
    that is followed by a separator is the whole value, and by induction the walk visits the members
    one after another. Closing after `len(values)` of them leaves no room for a repeated name.
    """
    starts: dict[str, int] = {}
    at = 0
    for name, raw in values.items():
        before = _BEFORE_VALUE.match(source, at)
        if before is None or not source.startswith(raw, before.end()):
            return None
        starts[name] = before.end()
        at = before.end() + len(raw)
    return starts if _CLOSE.match(source, at) else None


def _walk_duplicates(source: bytes) -> tuple[dict[str, int], frozenset[str]]:
    """The start of each name's last value, and the names that repeat.

    msgspec hands out only the last value of a name, so the end of each one is taken from where it
    says the rest begins: no value is built, whatever its size.
    """
    starts: dict[str, int] = {}
    duplicates: set[str] = set()
    view, at = memoryview(source), 0
    for _ in range(MAX_MEMBERS):
        before = _BEFORE_VALUE.match(source, at)
        if before is None:
            break
        name = _string.decode(before[1])
        if name in starts:
            duplicates.add(name)
        starts[name] = before.end()
        at = before.end() + _value_length(view[before.end() :])
    if not _CLOSE.match(source, at):
        raise JsonError(f"has more than {MAX_MEMBERS} members")
    return starts, frozenset(duplicates)


def _value_length(rest: memoryview) -> int:
    try:
        _value.decode(rest)
    except msgspec.DecodeError as error:
        if (found := _VALUE_END.search(str(error))) is not None:
            return int(found[1]) - 1  # it counts the character it stopped at
    raise JsonError("repeats a member")


class Edit(msgspec.Struct, frozen=True):
    """Puts `text` in the place of `source[start:end]`."""

    start: int
    end: int
    text: bytes


def splice(source: bytes, edits: Sequence[Edit]) -> tuple[list[bytes | memoryview], int]:
    """The edited text as pieces in order, with its length. Edits don't overlap; views stay views."""
    view, at, length = memoryview(source), 0, len(source)
    pieces: list[bytes | memoryview] = []
    if len(edits) > 1:
        edits = sorted(edits, key=_start)
    for edit in edits:
        if edit.start > at:
            pieces.append(view[at : edit.start])
        pieces.append(edit.text)
        at = edit.end
        length += len(edit.text) - (edit.end - edit.start)
    if at < len(source):
        pieces.append(view[at:])
    return pieces, length


def _start(edit: Edit) -> int:
    return edit.start
