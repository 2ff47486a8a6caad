"""Counts of events and their measures as metrics, to a local Datadog Agent."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from byline.telemetry.counters import Counters
from byline.telemetry.encoding import general_value
from byline.telemetry.fanout import GeneralEvent
from byline.telemetry.source import Source

if TYPE_CHECKING:
    from datadog.dogstatsd.base import DogStatsd


class DogStatsdMetrics:
    """`byline.event` counts; a number is the distribution `byline.event.NAME.FIELD`. A series per tag
    value is what makes metrics dear: route events here with a `Reduction`.
    """

    name = "dogstatsd"

    def __init__(
        self, source: Source, *, host: str = "127.0.0.1", port: int = 8125, socket_path: str | None = None
    ) -> None:
        self._source = source
        self._host, self._port, self._socket_path = host, port, socket_path
        self._client: DogStatsd | None = None
        self.counters = Counters()

    def send(self, batch: Sequence[GeneralEvent], /) -> None:
        client = self._client = self._client or self._open()
        for event in batch:
            tags = self.tags(event)
            client.increment("byline.event", tags=tags)
            for field, number in self.measures(event):
                client.distribution(f"byline.event.{event.name}.{field}", number, tags=tags)
        client.flush_buffered_metrics()
        self.counters.deliver(len(batch))

    def tags(self, event: GeneralEvent) -> list[str]:
        values = {key: general_value(value) for key, value in event.metadata.items()}
        marks = [
            f"{key}:{str(value).lower() if isinstance(value, bool) else value}"
            for key, value in values.items()
            if isinstance(value, bool | str) or key == "user_bucket"
        ]
        return [f"event:{event.name}", f"program:{self._source.program}", *marks]

    def measures(self, event: GeneralEvent) -> list[tuple[str, float]]:
        return [
            (key, value)
            for key, value in event.metadata.items()
            if isinstance(value, int | float) and not isinstance(value, bool) and key != "user_bucket"
        ]

    def close(self, deadline: float) -> None:
        if self._client is not None:
            self._client.close_socket()

    def after_fork(self) -> None:
        self._client = None

    def _open(self) -> DogStatsd:
        try:
            from datadog.dogstatsd.base import DogStatsd
        except ModuleNotFoundError as error:
            raise RuntimeError("metrics to Datadog need its client: pip install 'byline[datadog]'") from error
        # Tags and hosts of its own, telemetry about itself, buffers in another thread: all off.
        return DogStatsd(
            host=self._host,
            port=self._port,
            socket_path=self._socket_path,
            disable_telemetry=True,
            disable_background_sender=True,
            disable_buffering=False,
            flush_interval=0,
            origin_detection_enabled=False,
        )
