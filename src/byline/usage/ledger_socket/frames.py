"""What goes over the socket: length-prefixed MessagePack, every message a tagged struct.

Decimals travel as text in columns that are named with each batch: MessagePack has no type for them.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from decimal import Decimal
from typing import Any, Final, Literal, Protocol

import msgspec

from byline.usage.ledger import (
    ExportQuery,
    LedgerUnavailable,
    QueryError,
    QueryTimeout,
    Report,
    RepriceQuery,
    SqlLimits,
    Table,
)

MAX_QUESTION_BYTES: Final = 4 * 1024 * 1024
_MAX_ANSWER_BYTES: Final = 1024 * 1024 * 1024
_ROWS_PER_FRAME: Final = 2_000
_LENGTH: Final = struct.Struct(">I")

Row = tuple[Any, ...]


class AskReport(msgspec.Struct, frozen=True, tag="report"):
    query: Report


class AskSql(msgspec.Struct, frozen=True, tag="sql"):
    text: str
    limits: SqlLimits


class AskExport(msgspec.Struct, frozen=True, tag="export"):
    query: ExportQuery


class AskBackup(msgspec.Struct, frozen=True, tag="backup"):
    target: str


class AskReprice(msgspec.Struct, frozen=True, tag="reprice"):
    query: RepriceQuery
    dry_run: bool


class AskForget(msgspec.Struct, frozen=True, tag="forget"):
    user: str
    pseudonym: str


Question = AskReport | AskSql | AskExport | AskBackup | AskReprice | AskForget


class Columns(msgspec.Struct, frozen=True, tag="columns"):
    names: tuple[str, ...]


class Rows(msgspec.Struct, frozen=True, tag="rows"):
    rows: list[Row]
    decimals: list[int]
    """Which columns hold decimals, written as text."""


class Advanced(msgspec.Struct, frozen=True, tag="advanced"):
    share: float


class Done(msgspec.Struct, frozen=True, tag="done"):
    path: str | None = None


ErrorKind = Literal["unavailable", "query", "timeout", "internal"]


class Failed(msgspec.Struct, frozen=True, tag="failed"):
    kind: ErrorKind
    message: str


Answer = Columns | Rows | Advanced | Done | Failed

_encoder = msgspec.msgpack.Encoder()
_questions = msgspec.msgpack.Decoder(Question)
_answers = msgspec.msgpack.Decoder(Answer)


class Stream(Protocol):
    """A socket, as far as frames need one."""

    def sendall(self, data: bytes, /) -> None: ...
    def recv_into(self, buffer: memoryview, /) -> int: ...


class BrokenOffError(ConnectionError):
    """The other side closed in the middle of an answer."""


def send(stream: Stream, message: Question | Answer) -> None:
    body = _encoder.encode(message)
    stream.sendall(_LENGTH.pack(len(body)) + body)


def receive_question(stream: Stream) -> Question:
    """Raises msgspec.MsgspecError for what is none, ValueError for one that is too long."""
    return _questions.decode(_receive(stream, MAX_QUESTION_BYTES))


def receive_answer(stream: Stream) -> Answer:
    return _answers.decode(_receive(stream, _MAX_ANSWER_BYTES))


def _receive(stream: Stream, longest: int) -> bytes:
    (length,) = _LENGTH.unpack(_exactly(stream, _LENGTH.size))
    if length > longest:
        raise ValueError(f"a message of {length} bytes is too long")
    return _exactly(stream, length)


def _exactly(stream: Stream, length: int) -> bytes:
    buffer = bytearray(length)
    view = memoryview(buffer)
    while view:
        received = stream.recv_into(view)
        if not received:
            raise BrokenOffError("the connection ended in the middle of a message")
        view = view[received:]
    return bytes(buffer)


def table_messages(table: Table) -> Iterator[Columns | Rows]:
    """A table in pieces, so that neither side holds it twice."""
    yield Columns(table.columns)
    for start in range(0, len(table.rows), _ROWS_PER_FRAME):
        rows = table.rows[start : start + _ROWS_PER_FRAME]
        yield Rows(rows, _decimal_columns(rows))


def _decimal_columns(rows: list[Row]) -> list[int]:
    return sorted({index for row in rows for index, cell in enumerate(row) if type(cell) is Decimal})


def restored(message: Rows) -> list[Row]:
    if not message.decimals:
        return message.rows
    return [_with_decimals(row, message.decimals) for row in message.rows]


def _with_decimals(row: Row, decimals: list[int]) -> Row:
    cells = list(row)
    for index in decimals:
        if isinstance(cells[index], str):
            cells[index] = Decimal(cells[index])
    return tuple(cells)


def failure(error: Exception) -> Failed:
    """What of an error the asking process is told."""
    match error:
        case QueryTimeout():
            return Failed("timeout", str(error))
        case QueryError():
            return Failed("query", str(error))
        case LedgerUnavailable():
            return Failed("unavailable", str(error))
        case _:
            return Failed("internal", f"{type(error).__name__}: {error}")


def raised(failed: Failed) -> Exception:
    match failed.kind:
        case "timeout":
            return QueryTimeout(failed.message)
        case "query":
            return QueryError(failed.message)
        case "unavailable":
            return LedgerUnavailable(failed.message)
        case "internal":
            return LedgerUnavailable(f"the ledger process failed on this question: {failed.message}")
