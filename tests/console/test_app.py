"""The console answers over HTTP with what it is given at that moment."""

from __future__ import annotations

import socket
import urllib.request

from prometheus_client.core import GaugeMetricFamily

from byline.console.app import build_app
from byline.console.server import serving


def fetch(url: str) -> str:
    with urllib.request.urlopen(url, timeout=10) as answer:
        return answer.read().decode()


def test_metrics_are_collected_anew_at_each_scrape() -> None:
    lag = [3.0]
    app = build_app(lambda: [GaugeMetricFamily("byline_lag_seconds", "Lag.", value=lag[0])])
    with socket.create_server(("127.0.0.1", 0)) as listener:
        base = f"http://127.0.0.1:{listener.getsockname()[1]}"
        with serving(app, listener):
            assert "byline_lag_seconds 3.0" in fetch(f"{base}/metrics")
            lag[0] = 9.0
            assert "byline_lag_seconds 9.0" in fetch(f"{base}/metrics")
            assert fetch(f"{base}/healthz") == "ok"
