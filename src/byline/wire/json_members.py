"""The members of one JSON object: their raw values, where each stands, and which names repeat.

Finds the exact byte range of a member without turning values into Python objects. Refuses what parsers are known to read differently (byte-order
marks, broken UTF-8, lone surrogates). Says which names repeat; whether that matters is the caller's
decision. Knows no API and no field names.
"""

from __future__ import annotations

import codecs
import re

import msgspec

MAX_MEMBERS = 10_000
"""Members are walked one by one in Python, so a body of millions of them would hold the event loop."""

_TOO_MANY = f"has more than {MAX_MEMBERS} members"
_DICT_LIMIT = 256 * 1024
"""Up to this size members are read at once, then their places found. Beyond it one by one, because
reading 60 MB of tiny members at once was measured at 17 s and 1.1 GB."""
_UTF8_PIECE = 16 * 1024
"""Measured: whole bodies decode at half the speed, their widened strings leave the cache."""

_TIGHT = (b",", b":")
_SPACED = (b", ", b": ")
_SPACE = ord(" ")

_members = msgspec.json.Decoder(dict[str, msgspec.Raw])
_value = msgspec.json.Decoder(msgspec.Raw)
_string = msgspec.json.Decoder(str)
_encode = msgspec.json.Encoder().encode

_BLANK = b" \t\n\r"
_BLANKS = rb"[ \t\n\r]*+"
_QUOTED = rb'"[^"\\]*+(?:\\.[^"\\]*+){0,4096}+"'  # bounded: the steps run in the regex engine
_KEY = _BLANKS + b"(" + _QUOTED + b")" + _BLANKS + b":" + _BLANKS
_FIRST = re.compile(_BLANKS + rb"\{" + _KEY)
_NEXT = re.compile(_BLANKS + b"," + _KEY)
_CLOSE = re.compile(_BLANKS + rb"\}" + _BLANKS + rb"\Z")
_EMPTY = re.compile(_BLANKS + rb"\{" + _BLANKS + rb"\}" + _BLANKS + rb"\Z")
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
    if len(source) > _DICT_LIMIT:
        return _read_stepwise(source)
    values = _decode(source)
    if len(values) > MAX_MEMBERS:
        raise JsonError(_TOO_MANY)
    if (separators := _rendering(source, values)) is not None:
        return JsonObject(source, values, None, separators)
    if (starts := _walk(source, values)) is not None:
        return JsonObject(source, values, starts)
    return _read_stepwise(source)


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
    if not values:
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
    at, pattern = 0, _FIRST
    for name, raw in values.items():
        before = pattern.match(source, at)
        if before is None or not source.startswith(raw, before.end()):
            return None
        starts[name] = before.end()
        at, pattern = before.end() + len(raw), _NEXT
    return starts if (_CLOSE if values else _EMPTY).match(source, at) else None


def _read_stepwise(source: bytes) -> JsonObject:
    """Member by member, so that bodies of millions of members end at the limit.

    msgspec skips each value and says where the rest begins: no value is built, whatever its size.
    """
    values: dict[str, msgspec.Raw] = {}
    starts: dict[str, int] = {}
    duplicates: set[str] = set()
    view, at = memoryview(source), 0
    for count in range(MAX_MEMBERS + 1):
        before = (_NEXT if count else _FIRST).match(source, at)
        if before is None:
            break
        if count == MAX_MEMBERS:
            raise JsonError(_TOO_MANY)
        name, start = _name(before[1]), before.end()
        at = start + _value_length(view[start:])
        if name in values:
            duplicates.add(name)
        end = at if source[at - 1] not in _BLANK else start + len(source[start:at].rstrip(_BLANK))
        values[name], starts[name] = msgspec.Raw(view[start:end]), start
    if not (_CLOSE if values else _EMPTY).match(source, at):
        if not values:
            _decode(source)  # tells what else it is
        raise JsonError(f"is not valid JSON: unexpected character (byte {at})")
    return JsonObject(source, values, starts, duplicates=frozenset(duplicates))


def _name(quoted: bytes) -> str:
    try:
        return _string.decode(quoted)
    except UnicodeDecodeError:
        raise JsonError("is not valid UTF-8") from None
    except msgspec.DecodeError as error:
        raise JsonError(f"is not valid JSON: {_explain(error)}") from None


def _value_length(rest: memoryview) -> int:
    """The length of the value that `rest` begins with, blanks after it included."""
    try:
        _value.decode(rest)
    except RecursionError:
        raise JsonError("is nested too deeply") from None
    except msgspec.DecodeError as error:
        if (found := _VALUE_END.search(str(error))) is not None:
            return int(found[1]) - 1  # it counts the character it stopped at
        raise JsonError(f"is not valid JSON: {_explain(error)}") from None
    raise JsonError("is not valid JSON: it ends early")
