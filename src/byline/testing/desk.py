"""What all exchanges of one simulated provider share: orders, credentials, counters, memory."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from byline.testing.quota_headers import Spent
from byline.testing.seen import SeenRequest
from byline.testing.shape import Family, Ids
from byline.testing.simulation import Options, Simulation, build
from byline.testing.tokens import Usage


@dataclass(slots=True)
class Desk:
    defaults: Options
    api_keys: frozenset[str] | None
    seed: int
    now: Callable[[], float]
    queued: deque[Options] = field(default_factory=deque[Options])
    """Orders for the next requests that ask for an answer."""
    confirmed: asyncio.Semaphore | None = None
    """Of the lock-step stream under way, of which there is one at a time."""
    spent: Spent = field(default_factory=Spent)
    requests: list[SeenRequest] = field(default_factory=list[SeenRequest])
    answers: int = 0

    def next_ids(self, family: Family) -> Ids:
        self.answers += 1
        stem = "req_011C" if family == "anthropic" else "req_"
        return Ids(self.answers, f"{stem}{self.seed:04x}{self.answers:016x}", int(self.now()))

    def simulation(self, asked: Options, *, generates: bool) -> Simulation:
        """Raises SimulationError. Takes the next order, if there is one and it applies."""
        queued = self.queued.popleft() if generates and self.queued else {}
        return build(self.defaults, queued, asked)

    def accepts(self, credential: str) -> bool:
        return bool(credential) and (self.api_keys is None or credential in self.api_keys)

    def begin_lock_step(self) -> asyncio.Semaphore:
        """Whatever was confirmed before is forgotten: it was about another stream."""
        self.confirmed = asyncio.Semaphore(0)
        return self.confirmed

    def confirm(self) -> None:
        if self.confirmed is not None:
            self.confirmed.release()

    def spend(self, usage: Usage) -> None:
        self.spent.requests += 1
        self.spent.input_tokens += usage.input
        self.spent.output_tokens += usage.output
