"""A gateway under a fixed rate of requests, observed window by window."""

from __future__ import annotations

import time
import urllib.error
import urllib.request
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import msgspec

from benchmarks import gateway, load, native_tools, payloads, provider

CONNECTIONS = 32
CATCH_UP_S = 300.0


class Phase(msgspec.Struct, frozen=True):
    """One stretch of the load, in windows."""

    windows: int
    requests: int
    refused: int
    broken: int
    p50_us: float
    p99_us: float
    """Medians of the windows' percentiles."""
    p99_us_each: list[float]
    readyz_status: int
    readyz_body: str

    def names(self, part: str) -> bool:
        """Whether `/readyz` named a part as degraded."""
        return part in self.readyz_body


@dataclass(slots=True)
class Scene:
    """A gateway, its provider and a load at a fixed rate."""

    tools: native_tools.NativeTools
    running: gateway.Gateway
    provided: provider.Provider
    request: Path
    rate: float
    window_s: float
    started: int = field(default=0)

    def phase(self, windows: int) -> Phase:
        return self._summary([self._window() for _ in range(windows)])

    def phase_until_recorded(self, windows: int) -> tuple[Phase, float]:
        """At least `windows`, and on until the ledger has what was sent; returns how long that took."""
        began, caught_up_s, results = time.monotonic(), 0.0, list[load.Result]()
        while len(results) < windows or (not caught_up_s and time.monotonic() - began < CATCH_UP_S):
            results.append(self._window())
            if not caught_up_s and self._is_recorded(self.started - self._in_a_window):
                caught_up_s = time.monotonic() - began
        return self._summary(results), caught_up_s

    def _is_recorded(self, rows: int) -> bool:
        try:
            return self.running.recorded(expected=0, timeout_s=0).rows >= rows
        except gateway.CommandFailedError:
            return False

    @property
    def _in_a_window(self) -> int:
        return int(self.rate * self.window_s)

    def _window(self) -> load.Result:
        plan = load.Plan(CONNECTIONS, self.window_s, warmup_s=0, rate=self.rate)
        port = self.running.prepared.port
        result = load.run(
            self.tools, plan, request=self.request, port=port, core=None, clocks=time.monotonic
        ).result
        self.started += result.started
        return result

    def _summary(self, results: list[load.Result]) -> Phase:
        status, body = readyz(self.running.prepared.port)
        return Phase(
            windows=len(results),
            requests=sum(result.started for result in results),
            refused=sum(result.refused for result in results),
            broken=sum(result.broken for result in results),
            p50_us=median(result.latency_us.p50 for result in results),
            p99_us=median(result.latency_us.p99 for result in results),
            p99_us_each=[result.latency_us.p99 for result in results],
            readyz_status=status,
            readyz_body=body,
        )


def readyz(port: int) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


@contextmanager
def scene(
    tools: native_tools.NativeTools, prepared: gateway.Prepared, *, rate: float, window_s: float
) -> Generator[Scene]:
    request = prepared.directory / "request"
    payloads.messages_request(payloads.SMALL_BYTES, tools=1, streaming=False, credential=prepared.key).write(
        request
    )
    with provider.provider(tools) as provided:
        prepared.point_at(provided.port)
        with gateway.gateway(prepared) as running:
            yield Scene(tools, running, provided, request, rate, window_s)
