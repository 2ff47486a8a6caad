"""The latest of each credential: answers come in any order, and only a real change is news."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from byline.quota.snapshot import QuotaSnapshot, Window

_SUMMARY = tuple(
    name
    for name in QuotaSnapshot.__struct_fields__
    if name not in {"windows", "observed_at", "credential", "raw"}
)
_NOT_NEWS: Mapping[str, Any] = {
    "observed_at": 0,
    "raw": {},
    "retry_after_s": None,
    "message": None,
    "should_retry": None,
}


class LatestQuota:
    """Snapshots by credential. A window is replaced only by what was observed later."""

    def __init__(self, known: Iterable[QuotaSnapshot] = ()) -> None:
        self._latest: dict[str | None, _Merged] = {}
        for snapshot in known:
            self.observe(snapshot)

    def observe(self, snapshot: QuotaSnapshot) -> QuotaSnapshot | None:
        """The credential's merged snapshot if this one changed it; None if it was no news.

        An answer that carries no quota header changes nothing, unless the state itself stood on none.
        """
        merged = self._latest.get(snapshot.credential)
        if merged is None:
            if not snapshot.says_something:
                return None
            merged = self._latest[snapshot.credential] = _Merged(snapshot)
            return snapshot
        before = merged.snapshot
        merged.add(snapshot)
        return None if same_news(before, merged.snapshot) else merged.snapshot

    def get(self, credential: str | None) -> QuotaSnapshot | None:
        merged = self._latest.get(credential)
        return None if merged is None else merged.snapshot

    def all(self) -> list[QuotaSnapshot]:
        return [merged.snapshot for merged in self._latest.values()]

    def newest(self) -> QuotaSnapshot | None:
        return max(self.all(), key=lambda snapshot: snapshot.observed_at, default=None)


class _Merged:
    def __init__(self, snapshot: QuotaSnapshot) -> None:
        self.snapshot = snapshot
        self._seen_at = dict.fromkeys(snapshot.windows, snapshot.observed_at)

    def add(self, other: QuotaSnapshot) -> None:
        windows = self._windows(other)
        newest = other if self._replaces_summary(other) else self.snapshot
        summary = {name: getattr(newest, name) for name in _SUMMARY}
        self.snapshot = QuotaSnapshot(
            **summary,
            windows=windows,
            observed_at=max(self.snapshot.observed_at, other.observed_at),
            credential=other.credential,
            raw=newest.raw,
        )

    def _windows(self, other: QuotaSnapshot) -> Mapping[str, Window]:
        windows = dict(self.snapshot.windows)
        for name, window in other.windows.items():
            if other.observed_at >= self._seen_at.get(name, 0.0):
                windows[name] = window
                self._seen_at[name] = other.observed_at
        return windows

    def _replaces_summary(self, other: QuotaSnapshot) -> bool:
        if other.observed_at < self.snapshot.observed_at:
            return False
        return other.says_something or not self.snapshot.raw


def same_news(one: QuotaSnapshot, other: QuotaSnapshot) -> bool:
    """Equal in everything that a reader would act on."""
    return msgspec.structs.replace(one, **_NOT_NEWS) == msgspec.structs.replace(other, **_NOT_NEWS)
