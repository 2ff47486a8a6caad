"""Where sticky bucket assignments are kept: a service of the program's own, handed through to GrowthBook."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol


class StickyBuckets(Protocol):
    """What growthbook calls AbstractStickyBucketService. Called on the refresh thread."""

    def get_all_assignments(self, attributes: dict[str, str]) -> Mapping[str, dict[str, Any]]: ...
    def save_assignments(self, doc: dict[str, Any]) -> None: ...
