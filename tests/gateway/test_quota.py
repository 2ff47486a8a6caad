"""What answers say of limits belongs to who was answered."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from byline.gateway.http1.response_head import read_response_head
from byline.gateway.quota import QuotaWatch
from byline.usage.record import UsageRecord

NOW = 1_800_000_000.25


def row_of(provider: str) -> UsageRecord:
    return UsageRecord(
        request_id="r", exchange_id="e", started_at=datetime.now(UTC), provider=provider, api="messages"
    )


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize("quota_line", [b"", b"anthropic-ratelimit-requests-remaining: 0\r\n"])
def test_two_failures_of_one_second_keep_their_own_time_to_try_again(
    tmp_path: Path, status: int, quota_line: bytes
) -> None:
    watch = QuotaWatch(tmp_path / "quota.json")
    waits = [
        msgspec.json.decode(
            watch.take(
                read_response_head(b"HTTP/1.1 %d No\r\n%bRetry-After: %d" % (status, quota_line, wait)),
                NOW,
                row_of(provider),
            )
        )["retry_after_s"]
        for provider, wait in (("a", 1), ("b", 3600), ("a", 1))
    ]
    assert waits == [1, 3600, 1]
