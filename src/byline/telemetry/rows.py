"""Events as rows of `api_events`.

Personal values are hoisted to the columns declared for them, then stripped once more; what has no column
is dropped and counted, and never ends in the JSON column.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection
from datetime import UTC, datetime
from typing import Final

import msgspec

from byline.telemetry.catalogue import PERSONAL_FIELDS
from byline.telemetry.encoding import general_value
from byline.telemetry.event import Event, Row
from byline.telemetry.metadata import PII_PREFIX, strip_pii
from byline.telemetry.source import Source

COLUMN_PREFIX: Final = "pii_"


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


def iso_utc(epoch_s: float) -> str:
    return datetime.fromtimestamp(epoch_s, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
