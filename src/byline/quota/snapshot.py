"""The values: a provider's limits as one answer's headers told them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import msgspec

Status = Literal["allowed", "allowed_warning", "rejected"]
"""The known ones; a status nobody knows yet is kept as it came."""

FIVE_HOURS_S = 5 * 3600
SEVEN_DAYS_S = 7 * 86_400


class Window(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """One limit over one period; None is what the provider did not say."""

    utilization: float | None = None
    """A fraction, 0..1; providers send more than 1 as well."""
    resets_at: int | None = None
    """Epoch seconds."""
    status: str | None = None
    surpassed_threshold: float | None = None
    limit: int | None = None
    remaining: int | None = None
    duration_s: int | None = None


class QuotaSnapshot(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """What one answer said, or several of one credential put together (`byline.quota.merging`).

    The fields up to `surpassed_threshold` are the summary. It may describe a limit of one model alone:
    whether others have room, `windows` knows.
    """

    status: str = "allowed"
    unified_rate_limit_fallback_available: bool = False
    """A cheaper model is offered when this one runs out: a reason to warn, never to switch."""
    resets_at: int | None = None
    """Epoch seconds."""
    rate_limit_type: str | None = None
    """`five_hour`, `seven_day`, `seven_day_opus`, ..., `overage`: an open set."""
    utilization: float | None = None
    """Of the limit that a warning is about; each window has its own in `windows`."""
    overage_status: str | None = None
    overage_resets_at: int | None = None
    overage_disabled_reason: str | None = None
    is_using_overage: bool = False
    """The limit is passed, and what goes on is paid beyond the plan."""
    surpassed_threshold: float | None = None

    windows: Mapping[str, Window] = {}
    overage_in_use: bool = False
    """What the provider says of overage itself: not the same fact as `is_using_overage`."""
    overage_utilization: float | None = None
    overage_period: str | None = None
    limit_scope: str | None = None
    observed_at: float = 0
    """Epoch seconds at which the answer came."""
    credential: str | None = None
    retry_after_s: float | None = None
    should_retry: bool | None = None
    http_status: int | None = None
    """Kept where the answer was an error."""
    message: str | None = None
    """The provider's own sentence, where the answer was an error."""
    raw: Mapping[str, str] = {}
    """Every header of a quota family, by its lower-case name."""

    @property
    def has_unified(self) -> bool:
        """The answer carried Anthropic's unified family: its 429 is a limit reached, no mere throttle."""
        return any(name.startswith(UNIFIED_PREFIX) for name in self.raw)

    @property
    def says_something(self) -> bool:
        """Anything at all was learnt about limits."""
        return bool(self.raw) or self.status != "allowed"

    def as_of(self, now: float) -> QuotaSnapshot:
        """Without the limits that have opened again since: they say nothing any more."""
        windows = {
            name: window for name, window in self.windows.items() if not is_past(window.resets_at, now)
        }
        if not is_past(self.resets_at, now):
            return msgspec.structs.replace(self, windows=windows)
        return msgspec.structs.replace(
            self,
            status="allowed",
            windows=windows,
            resets_at=None,
            rate_limit_type=None,
            utilization=None,
            surpassed_threshold=None,
            is_using_overage=False,
        )


UNIFIED_PREFIX = "anthropic-ratelimit-unified-"


def is_past(resets_at: int | None, now: float) -> bool:
    return resets_at is not None and resets_at <= now
