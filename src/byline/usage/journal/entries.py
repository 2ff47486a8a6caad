"""One line of the journal: how an entry is written as JSON, and what a line means when read back.

A line is `{"entry":KIND,...}` with the entry's columns beside `entry`. Knows no files.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from byline.usage.record import ABSENT, AttemptColumns, KnownColumns, UsageRecord

# Without the comma: the encoder writes the columns as an object of its own right behind, and
# its opening brace is overwritten with the comma. That saves a copy of every row.
START = b'{"entry":"start"'
END = b'{"entry":"end"'
EVENT = b'{"entry":"event"'
_COMMA = ord(",")
_OPENING_BRACE = ord("{")
_LINE_BREAKS = bytes.maketrans(b"\r\n", b"  ")

Columns = dict[str, object]
Row = UsageRecord | AttemptColumns


class Start(msgspec.Struct, frozen=True):
    """An attempt is about to be sent. Kept undecoded: most starts are never looked at again."""

    request_id: str
    line: bytes


class End(msgspec.Struct, frozen=True):
    """An attempt's whole row."""

    record: UsageRecord


class Event(msgspec.Struct, frozen=True):
    """A row of `api_events`."""

    columns: Columns


class Unreadable(msgspec.Struct, frozen=True):
    """A line that is none of these: damaged on disk, or written by something else."""

    line: bytes
    reason: str


Entry = Start | End | Event | Unreadable


class _AnyEntry(msgspec.Struct):
    entry: str


class _StartKey(msgspec.Struct):
    request_id: str


_encoder = msgspec.json.Encoder()
_any_entry = msgspec.json.Decoder(_AnyEntry)
_start_key = msgspec.json.Decoder(_StartKey)
_record = msgspec.json.Decoder(UsageRecord)
_columns = msgspec.json.Decoder(Columns)


def encode(buffer: bytearray, prefix: bytes, columns: Row | Mapping[str, object], known: bytes = b"") -> None:
    """Append one line to `buffer`, which is left as it was if the columns can't be encoded.

    `known`: members that were encoded before, with the end of the line.
    """
    begin = len(buffer)
    buffer += prefix
    at = len(buffer)
    try:
        _encoder.encode_into(columns, buffer, -1)
    except UnicodeEncodeError:
        del buffer[at:]
        _encode_legible(columns, buffer, begin)
    except BaseException:
        del buffer[begin:]
        raise
    buffer[at] = _COMMA
    if buffer.find(b"\n", at) >= 0:
        # Raw columns are the provider's own bytes and may be indented. In valid JSON a line
        # break only ever stands between tokens, so a blank means the same.
        buffer[at:] = buffer[at:].translate(_LINE_BREAKS)
    if known:
        buffer[-1] = _COMMA
        buffer += known
    else:
        buffer += b"\n"


def know(record: UsageRecord) -> KnownColumns:
    """Encodes what attempts share. Raises what `encode` raises."""
    line = bytearray()
    encode(line, b"", record)
    line[0] = _OPENING_BRACE
    members = msgspec.json.decode(line, type=dict[str, msgspec.Raw])
    for name in AttemptColumns.__struct_fields__:
        members.pop(name, None)
    return KnownColumns(record, _encoder.encode(members)[1:] + b"\n")


def _encode_legible(columns: Row | Mapping[str, object], buffer: bytearray, begin: int) -> None:
    try:
        _encoder.encode_into(_legible(columns), buffer, -1)
    except BaseException:
        del buffer[begin:]
        raise


def _legible(columns: Row | Mapping[str, object]) -> dict[str, object]:
    """The columns with lone surrogates (undecodable header bytes) escaped: better that than no row."""
    named = msgspec.structs.asdict(columns) if isinstance(columns, msgspec.Struct) else columns
    return {
        name: value.encode("utf-8", "backslashreplace").decode() if isinstance(value, str) else value
        for name, value in named.items()
        if value is not None and value is not ABSENT
    }


def decode(line: bytes) -> Entry:
    """What a line (without its line break) holds. Never raises on bad input."""
    try:
        return _decode(line)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        return Unreadable(line, str(error))


def decode_start(line: bytes) -> UsageRecord:
    return _record.decode(line)


def _decode(line: bytes) -> Entry:
    if line.startswith(END):
        return End(_record.decode(line))
    if line.startswith(START):
        return Start(_start_key.decode(line).request_id, line)
    kind = _any_entry.decode(line).entry
    if kind == "end":
        return End(_record.decode(line))
    if kind == "start":
        return Start(_start_key.decode(line).request_id, line)
    if kind == "event":
        return Event({name: value for name, value in _columns.decode(line).items() if name != "entry"})
    return Unreadable(line, f"unknown entry {kind!r}")
