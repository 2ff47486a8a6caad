"""Test doubles for programs that call model APIs: a provider on this machine that fails on demand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from byline.testing.seen import Counted, SeenRequest
from byline.testing.simulation import Simulation, SimulationError
from byline.testing.tokens import Usage

if TYPE_CHECKING:
    from byline.testing.provider import SimulatedProvider

__all__ = ["Counted", "SeenRequest", "SimulatedProvider", "Simulation", "SimulationError", "Usage"]


def __getattr__(name: str) -> Any:
    # On first use: `python -m byline.testing.provider` warns where its module is loaded before it runs.
    if name == "SimulatedProvider":
        from byline.testing.provider import SimulatedProvider

        return SimulatedProvider
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
