"""The console's web application. Reads what it is given; opens no store and no file."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import Metric
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

MetricSource = Callable[[], Iterable[Metric]]


def build_app(metrics: MetricSource) -> Starlette:
    """`GET /metrics` in Prometheus' text format, `GET /healthz`."""
    registry = CollectorRegistry()
    registry.register(_Collector(metrics))

    def show_metrics(_request: Request) -> Response:
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)

    def show_health(_request: Request) -> Response:
        return PlainTextResponse("ok")

    return Starlette(routes=[Route("/metrics", show_metrics), Route("/healthz", show_health)])


class _Collector:
    """Asks anew at each scrape."""

    def __init__(self, source: MetricSource) -> None:
        self._source = source

    def collect(self) -> Iterable[Metric]:
        return self._source()
