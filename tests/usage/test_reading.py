"""The row takes over all that a Meter reads."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec

from byline.apis.api import Reading
from byline.usage.reading import fill_usage
from byline.usage.record import UsageRecord

NOT_COPIED = {"usage_complete", "error_type", "raw_usage"}


def test_every_column_that_a_meter_reads_reaches_the_row() -> None:
    values = {name: f"value of {name}" for name in Reading.__struct_fields__ if name not in NOT_COPIED}
    for name in values:
        if name.endswith("_tokens"):
            values[name] = 7  # type: ignore[assignment]
    record = UsageRecord(
        request_id="r", exchange_id="r", started_at=datetime.now(UTC), provider="p", api="messages"
    )
    fill_usage(record, Reading(**values))  # type: ignore[arg-type]
    copied = msgspec.structs.asdict(record)
    assert {name: copied[name] for name in values} == values
    assert copied["input_tokens"] == 21
