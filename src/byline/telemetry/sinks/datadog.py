"""Datadog's logs intake: gzip JSON arrays within its limits.

Limits by docs.datadoghq.com/api/latest/logs/#send-logs: 1000 entries and 5 MB (uncompressed) a request,
1 MB an entry, entries at most 18 hours old. 408, 429 and 5xx are worth another try, others not.
"""

from __future__ import annotations

import gzip
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from byline.telemetry.counters import Counters
from byline.telemetry.encoding import general_value, to_json
from byline.telemetry.fanout import GeneralEvent
from byline.telemetry.posting import check_url, post, require_accepted, within_limits
from byline.telemetry.source import Source

MAX_ENTRIES: Final = 1000
MAX_REQUEST_BYTES: Final = 5_000_000
MAX_ENTRY_BYTES: Final = 1_000_000
MAX_AGE_S: Final = 18 * 3600.0


class DatadogLogs:
    name = "datadog"

    def __init__(
        self,
        api_key: str,
        source: Source,
        *,
        site: str = "datadoghq.com",
        url: str | None = None,
        timeout_s: float = 5.0,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._api_key = api_key
        self._source = source
        self._url = check_url(url or f"https://http-intake.logs.{site}/api/v2/logs")
        self._timeout_s = timeout_s
        self._now = now
        self.counters = Counters()

    def __repr__(self) -> str:
        return f"DatadogLogs({self._url})"

    def send(self, batch: Sequence[GeneralEvent], /) -> None:
        headers = {
            "content-type": "application/json",
            "content-encoding": "gzip",
            "dd-api-key": self._api_key,
        }
        for entries in within_limits(self._entries(batch), MAX_ENTRIES, MAX_REQUEST_BYTES - 2):
            body = gzip.compress(b"[" + b",".join(entries) + b"]", compresslevel=3, mtime=0)
            require_accepted(post(self._url, body, headers, self._timeout_s))
            self.counters.deliver(len(entries))

    def entry(self, event: GeneralEvent) -> bytes:
        """An event as Datadog receives it."""
        source = self._source
        return to_json(
            {
                "ddsource": "byline",
                "service": source.program,
                "ddtags": f"version:{source.version},build:{source.build}",
                "message": event.name,
                "timestamp": round(event.occurred_at * 1000),
                "event": {key: general_value(value) for key, value in event.metadata.items()},
            }
        )

    def _entries(self, batch: Sequence[GeneralEvent]) -> Iterator[bytes]:
        oldest = self._now() - MAX_AGE_S
        for event in batch:
            if event.occurred_at < oldest:
                self.counters.drop("too_old")
                continue
            entry = self.entry(event)
            if len(entry) > MAX_ENTRY_BYTES:
                self.counters.drop("too_large")
            else:
                yield entry
