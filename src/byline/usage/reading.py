"""Puts what a Meter has read onto a row."""

from __future__ import annotations

import msgspec

from byline.apis.api import Reading
from byline.usage.record import AttemptColumns, UsageRecord

_READ = tuple(name for name in Reading.__struct_fields__ if name not in {"error_type", "raw_usage"})


def fill_usage(record: UsageRecord | AttemptColumns, reading: Reading) -> None:
    """`reading` may be the columns themselves, where an answer was read straight into them."""
    if reading is not record:
        for name in _READ:
            setattr(record, name, getattr(reading, name))
        if reading.error_type is not None:
            record.error_type = reading.error_type
    if reading.raw_usage is not None:
        record.raw_usage = msgspec.Raw(reading.raw_usage)
    record.usage_complete = reading.usage_complete is True
    record.input_tokens = reading.total_input_tokens()
