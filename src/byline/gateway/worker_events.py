"""Tells the ledger what went wrong in a worker, as events; nothing here runs while a request is served.

Counts and states are compared each second with what was told before, so a flood of refused requests
is one event a second and kind. Events say kinds and numbers, never a key or anything a caller sent.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, Protocol, get_args

import msgspec

from byline.gateway.auth.admission import RefusalKind
from byline.gateway.exchange import Tally
from byline.gateway.own_events import OwnEvents
from byline.identity.identifier import Count
from byline.telemetry import catalogue
from byline.telemetry.catalogue import EventSpec
from byline.telemetry.metadata import SafeValue
from byline.telemetry.verified import i_verified_this_is_not_code_or_filepaths

INTERVAL_S: Final = 1.0
UPSTREAM: Final = "upstream:"
"""What begins the names of counts `upstream:PROVIDER:KIND`."""
_AUTHENTICATION: Final = frozenset(get_args(RefusalKind))
_IDENTITY: Final = frozenset(get_args(Count))
_REFUSED: Final = "refused_"
Values = dict[str, SafeValue]


class JournalCounts(Protocol):
    @property
    def lost_entries(self) -> int: ...
    @property
    def refused_starts(self) -> int: ...


class WatchedJournal(Protocol):
    def trouble(self) -> object | None: ...
    def counters(self) -> JournalCounts: ...


class WatchedDirectory(Protocol):
    @property
    def problem(self) -> str | None: ...


class _State(msgspec.Struct):
    """Whether a trouble is on, as last told."""

    is_on: bool = False

    def changed(self, is_on: bool) -> bool:
        before, self.is_on = self.is_on, is_on
        return before != is_on


class WorkerEvents:
    """`look` is for a periodic task, and once more before the journal closes."""

    def __init__(
        self,
        journal: WatchedJournal,
        directory: WatchedDirectory,
        tally: Tally,
        events: OwnEvents,
    ) -> None:
        self._journal = journal
        self._directory = directory
        self._tally = tally
        self._events = events
        self._told: dict[str, int] = {}
        self._journal_state = _State()
        self._keys_state = _State()

    def look(self) -> None:
        for spec, values in (*self._counts(), *self._journal_trouble(), *self._keys_trouble()):
            self._events.tell(spec.name, values)

    def _counts(self) -> Iterator[tuple[EventSpec, Values]]:
        for name, count in list(self._tally.items()):
            new = count - self._told.get(name, 0)
            told = _event_of(name) if new > 0 else None
            if told is not None:
                self._told[name] = count
                spec, values = told
                yield spec, {**values, "count": new}

    def _journal_trouble(self) -> Iterator[tuple[EventSpec, Values]]:
        is_on = self._journal.trouble() is not None
        if self._journal_state.changed(is_on):
            counters = self._journal.counters()
            yield (
                catalogue.JOURNAL_TROUBLE,
                {
                    "is_over": not is_on,
                    "lost_entries": counters.lost_entries,
                    "refused_starts": counters.refused_starts,
                },
            )

    def _keys_trouble(self) -> Iterator[tuple[EventSpec, Values]]:
        is_on = self._directory.problem is not None
        if self._keys_state.changed(is_on):
            yield catalogue.KEYS_TROUBLE, {"is_over": not is_on}


def _event_of(count_name: str) -> tuple[EventSpec, Values] | None:
    """Which event tells a count; None for counts that need none."""
    # Every word below is one of Byline's own, or a provider's name from the operator's settings.
    verified = i_verified_this_is_not_code_or_filepaths
    if count_name in _AUTHENTICATION:
        return catalogue.REQUESTS_UNAUTHENTICATED, {"kind": verified(count_name)}
    if count_name in _IDENTITY:
        return catalogue.IDENTITY_COUNTED, {"kind": verified(count_name)}
    if count_name == "malformed":
        return catalogue.REQUESTS_REFUSED, {"kind": verified(count_name)}
    if count_name.startswith(UPSTREAM):
        _, provider, kind = count_name.split(":", 2)
        return catalogue.UPSTREAM_TROUBLE, {"provider": verified(provider), "kind": verified(kind)}
    kind = count_name.removeprefix(_REFUSED)
    if kind != count_name and kind != "authentication":
        return catalogue.REQUESTS_REFUSED, {"kind": verified(kind)}
    return None
