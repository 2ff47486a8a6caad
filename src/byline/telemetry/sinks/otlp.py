"""OpenTelemetry log events over HTTP, through the official exporter and nothing of its pipeline.

The SDK's provider waits thirty seconds for a hanging collector at exit, so batches go straight to the
exporter, which has a deadline.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from byline.telemetry.counters import Counters
from byline.telemetry.delivery import TryAgain
from byline.telemetry.encoding import general_value
from byline.telemetry.fanout import GeneralEvent
from byline.telemetry.source import Source

if TYPE_CHECKING:
    from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter


class OtlpLogs:
    """`endpoint` and `headers` None: by OTEL_EXPORTER_OTLP_* of the environment."""

    name = "otlp"

    def __init__(
        self,
        source: Source,
        *,
        endpoint: str | None = None,
        headers: Mapping[str, str] | None = None,
        timeout_s: float = 5.0,
    ) -> None:
        self._source = source
        self._endpoint = endpoint
        self._headers = headers
        self._timeout_s = timeout_s
        self._exporter: OTLPLogExporter | None = None
        self.counters = Counters()

    def send(self, batch: Sequence[GeneralEvent], /) -> None:
        exporter = self._exporter = self._exporter or self._open()
        from opentelemetry.sdk._logs.export import LogRecordExportResult

        result = exporter.export([self._record(event) for event in batch])
        if result is not LogRecordExportResult.SUCCESS:
            raise TryAgain("the collector did not take the events")
        self.counters.deliver(len(batch))

    def attributes(self, event: GeneralEvent) -> dict[str, bool | int | float | str]:
        """An event's attributes as the collector receives them; OTLP has no null, so None is left out."""
        values = {key: general_value(value) for key, value in event.metadata.items()}
        return {key: value for key, value in values.items() if value is not None}

    def resource(self) -> dict[str, str]:
        source = self._source
        return {
            "service.name": str(source.program),
            "service.version": str(source.version),
            "byline.build": str(source.build),
        }

    def after_fork(self) -> None:
        self._exporter = None

    def _record(self, event: GeneralEvent) -> Any:
        from opentelemetry._logs import LogRecord
        from opentelemetry.sdk._logs import ReadableLogRecord
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.util.instrumentation import InstrumentationScope

        record = LogRecord(
            timestamp=round(event.occurred_at * 1e9),
            event_name=event.name,
            attributes=self.attributes(event),
        )
        # `Resource.create` would add the process's command line and more from detectors.
        return ReadableLogRecord(record, Resource(self.resource()), InstrumentationScope("byline"))

    def _open(self) -> OTLPLogExporter:
        try:
            from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
        except ModuleNotFoundError as error:
            raise RuntimeError("OTLP needs its exporter: pip install 'byline[otlp]'") from error
        headers = dict(self._headers) if self._headers is not None else None
        return OTLPLogExporter(endpoint=self._endpoint, headers=headers, timeout=self._timeout_s)
