"""Test doubles for programs that call model APIs: a provider on this machine that fails on demand."""

from __future__ import annotations

from byline.testing.provider import SimulatedProvider
from byline.testing.seen import Counted, SeenRequest
from byline.testing.simulation import Simulation, SimulationError
from byline.testing.tokens import Usage

__all__ = ["Counted", "SeenRequest", "SimulatedProvider", "Simulation", "SimulationError", "Usage"]
