"""Events as rows of `api_events`, and what is believed of rows that others send.

Personal values are hoisted to the columns declared for them, then stripped once more; what has no column
is dropped and counted, and never ends in the JSON column.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping
from datetime import UTC, datetime
from typing import Final

import msgspec

from byline.telemetry.catalogue import PERSONAL_FIELDS
from byline.telemetry.encoding import general_value
from byline.telemetry.event import Event, Row
from byline.telemetry.grammar import IDENTIFIER
from byline.telemetry.metadata import PII_PREFIX, strip_pii
from byline.telemetry.source import Source

COLUMN_PREFIX: Final = "pii_"
_TEXT_COLUMNS: Final = frozenset(
    {
        "event_id", "event_name", "occurred_at", "source", "program", "version", "build", "request_id", "actor_id",
        "user", "job", "session_id", "device_id",
    }
)  # fmt: skip
_MAX_TEXT: Final = 1024
_MAX_ROW_BYTES: Final = 65_536


class RefusedRow(ValueError):
    """A row from outside that is none; the message is safe to send back."""


def privileged_columns(further: Collection[str] = ()) -> tuple[str, ...]:
    """Columns for personal values: those of the catalogue and of `further` keys."""
    return tuple(COLUMN_PREFIX + key for key in dict.fromkeys((*PERSONAL_FIELDS, *further)))


class RowMaker:
    def __init__(
        self,
        source: Source,
        personal: Collection[str] = tuple(PERSONAL_FIELDS),
        *,
        random_bytes: Callable[[int], bytes] = os.urandom,
    ) -> None:
        """`personal`: the keys that have a column, without prefix."""
        self._source = source
        self._columns = {PII_PREFIX + key: COLUMN_PREFIX + key for key in personal}
        self._random_bytes = random_bytes

    def make(self, event: Event) -> tuple[Row, int]:
        """The row, and how many personal values had no column. Leaves out what is not known."""
        hoisted = {
            self._columns[key]: str(value) for key, value in event.values.items() if key in self._columns
        }
        personal = sum(key.startswith(PII_PREFIX) for key in event.values)
        general = {key: general_value(value) for key, value in strip_pii(event.values).items()}
        row: dict[str, object] = {
            "event_id": f"{int(event.occurred_at * 1000):012x}{self._random_bytes(10).hex()}",
            "event_name": event.name,
            "occurred_at": iso_utc(event.occurred_at),
            "source": self._source.kind,
            "program": str(self._source.program),
            "version": str(self._source.version),
            "build": str(self._source.build),
            "metadata": general,
        }
        if event.context is not None:
            known = msgspec.structs.asdict(event.context).items()
            row |= {column: value for column, value in known if value is not None}
        if "sample_rate" in general:
            row["sample_rate"] = general["sample_rate"]
        return row | hoisted, personal - len(hoisted)


def received_row(sent: Mapping[str, object], received_at: float, privileged: Collection[str]) -> Row:
    """A row as it may be stored: known columns of the right types, metadata without personal keys.

    Raises RefusedRow. Further columns and undeclared personal ones are left out.
    """
    row = {column: _text(column, value) for column, value in sent.items() if _is_text(column, privileged)}
    row = {column: value for column, value in row.items() if value is not None}
    for column in ("event_id", "event_name", "occurred_at"):
        if not row.get(column):
            raise RefusedRow(f"an event needs {column}")
    if not IDENTIFIER.match(str(row["event_name"])):
        raise RefusedRow("event_name must be letters, digits, _ and ., at most 64")
    rate = sent.get("sample_rate")
    rated = {"sample_rate": float(rate)} if isinstance(rate, int | float) else {}
    complete = (
        row | rated | {"received_at": iso_utc(received_at), "metadata": _metadata(sent.get("metadata"))}
    )
    if len(msgspec.json.encode(complete)) > _MAX_ROW_BYTES:
        raise RefusedRow(f"an event may have {_MAX_ROW_BYTES} bytes")
    return complete


def iso_utc(epoch_s: float) -> str:
    return datetime.fromtimestamp(epoch_s, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _is_text(column: str, privileged: Collection[str]) -> bool:
    return column in _TEXT_COLUMNS or column in privileged


def _text(column: str, value: object) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str):
        raise RefusedRow(f"{column} must be a string")
    if column == "occurred_at":
        try:
            return datetime.fromisoformat(value).astimezone(UTC).isoformat().replace("+00:00", "Z")
        except ValueError:
            raise RefusedRow("occurred_at must be a time such as 2026-03-01T08:00:00Z") from None
    return value[:_MAX_TEXT]


def _metadata(sent: object) -> dict[str, object]:
    if sent is None:
        return {}
    if not isinstance(sent, dict):
        raise RefusedRow("metadata must be an object")
    given: dict[object, object] = sent  # pyright: ignore[reportUnknownVariableType]
    kept: dict[str, object] = {}
    for key, value in given.items():
        if not isinstance(key, str) or key.startswith(PII_PREFIX) or not IDENTIFIER.match(key):
            continue
        if value is not None and not isinstance(value, bool | int | float | str):
            raise RefusedRow("metadata holds numbers, truth values, strings and null only")
        kept[key] = value
    return kept
