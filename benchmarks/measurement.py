"""One run of the data-plane benchmark: clocks, windows and what they say."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from benchmarks import processes
from benchmarks.gateway import Recorded
from benchmarks.load import Result
from benchmarks.provider import Seen

SATURATED = 0.95
"""A proxy whose core is less busy than this was waiting for the load: the harness was the limit."""


class Clocks(msgspec.Struct, frozen=True):
    """Seconds of CPU, as readings or as the difference of two."""

    proxy: float
    provider: float
    others: float
    """Supervisor and ledger process: not on the proxy's core, counted apart."""
    proxy_core: float
    other_core: float
    resident_mb: float = 0
    peak_mb: float = 0

    @classmethod
    def read(
        cls, proxy: int | None, provider: int, others: Iterable[int], proxy_core: int, other_core: int
    ) -> Clocks:
        memory = processes.memory(proxy) if proxy else processes.Memory(0, 0)
        return cls(
            proxy=processes.cpu_seconds(proxy) if proxy else 0,
            provider=processes.cpu_seconds(provider),
            others=sum(processes.cpu_seconds(pid) for pid in others),
            proxy_core=processes.busy_seconds(proxy_core),
            other_core=processes.busy_seconds(other_core),
            resident_mb=memory.resident_mb,
            peak_mb=memory.peak_mb,
        )

    def __sub__(self, earlier: Clocks) -> Clocks:
        return Clocks(
            proxy=self.proxy - earlier.proxy,
            provider=self.provider - earlier.provider,
            others=self.others - earlier.others,
            proxy_core=self.proxy_core - earlier.proxy_core,
            other_core=self.other_core - earlier.other_core,
            resident_mb=self.resident_mb,
            peak_mb=self.peak_mb,
        )

    @classmethod
    def over(cls, parts: Sequence[Clocks]) -> Clocks:
        """Of several windows: their sums, and the most memory."""
        return cls(
            proxy=sum(part.proxy for part in parts),
            provider=sum(part.provider for part in parts),
            others=sum(part.others for part in parts),
            proxy_core=sum(part.proxy_core for part in parts),
            other_core=sum(part.other_core for part in parts),
            resident_mb=max(part.resident_mb for part in parts),
            peak_mb=max(part.peak_mb for part in parts),
        )


class Window(msgspec.Struct, frozen=True):
    result: Result
    spent: Clocks

    @classmethod
    def over(cls, parts: Sequence[Window]) -> Window:
        return cls(Result.over([part.result for part in parts]), Clocks.over([part.spent for part in parts]))

    @property
    def requests_per_s(self) -> float:
        return self.result.requests / self.result.window_s

    @property
    def events_per_s(self) -> float:
        return self.result.events / self.result.window_s

    @property
    def cpu_us_per_request(self) -> float:
        return self.spent.proxy / self.result.requests * 1e6

    @property
    def cpu_us_per_event(self) -> float:
        return self.spent.proxy / self.result.events * 1e6

    @property
    def harness_share(self) -> float:
        """Share of their core that generator and provider used."""
        return (self.result.cpu_s + self.spent.provider) / self.result.window_s

    @property
    def proxy_share(self) -> float:
        return self.spent.proxy / self.result.window_s

    @property
    def foreign_share(self) -> float:
        """Share of the proxy's core that went to programs which have no part in the run."""
        return max(0.0, (self.spent.proxy_core - self.spent.proxy) / self.result.window_s)


class Run(msgspec.Struct, frozen=True):
    contender: str
    load: str
    closed: Window
    at_rate: Window | None
    seen: Seen
    recorded: Recorded | None

    @property
    def streaming(self) -> bool:
        return self.closed.result.events > 0

    @property
    def cpu_us(self) -> float:
        """Per event of a stream, else per request."""
        return self.closed.cpu_us_per_event if self.streaming else self.closed.cpu_us_per_request

    @property
    def harness_was_limit(self) -> bool:
        """Then requests per second say what the harness can do; CPU per request stays what it is."""
        core_share = self.closed.spent.proxy_core / self.closed.result.window_s
        return self.contender != "direct" and not self.streaming and core_share < SATURATED

    def line(self) -> str:
        rate = self.closed.events_per_s if self.streaming else self.closed.requests_per_s
        return (
            f"{self.load:9} {self.contender:8} {self.cpu_us:7.1f} us  {rate:8.0f}/s  "
            f"proxy {self.closed.proxy_share:4.0%}  harness {self.closed.harness_share:4.0%}  "
            f"foreign {self.closed.foreign_share:4.0%}"
        )

    def faults(self) -> list[str]:
        """Why this run may not be counted; empty if it may."""
        found = [
            f"{window.result.failed} requests failed" for window in self._windows() if window.result.failed
        ]
        found += [
            f"{window.result.unfinished} requests never ended"
            for window in self._windows()
            if window.result.unfinished
        ]
        if self.streaming and not self.closed.result.requests:
            found.append("no stream ended while it was measured: its request is not counted")
        sent = sum(window.result.started for window in self._windows())
        if sent != self.seen.requests:
            found.append(f"{sent} requests sent, {self.seen.requests} seen by the provider")
        return [f"{self.load} {self.contender}: {fault}" for fault in [*found, *self._record_faults()]]

    def _windows(self) -> list[Window]:
        return [self.closed, self.at_rate] if self.at_rate else [self.closed]

    def _record_faults(self) -> list[str]:
        if self.recorded is None:
            return []
        seen, recorded = self.seen, self.recorded
        expectations = {
            "rows in the ledger": recorded.rows,
            "distinct request ids": recorded.ids,
            "distinct ids of the provider": recorded.provider_request_ids,
            "rows complete and priced": recorded.complete,
            "requests stamped alike": seen.same_user_id,
            "requests with the provider's credential": seen.with_credential,
        }
        found = [
            f"{value} {what}, {seen.requests} requests"
            for what, value in expectations.items()
            if value != seen.requests
        ]
        if seen.leaked:
            found.append(f"the caller's key went upstream in {seen.leaked} requests")
        if recorded.identifiers != 1 or recorded.stamped != seen.user_id:
            found.append("the identifier on the rows is not the one the provider saw")
        return found
