"""Delivers a batch around what the store will never accept.

A `ValueError` says that the content is at fault, so trying again is useless; every other error says
nothing about the content. Halving finds the offenders in a few deliveries; since inserts are
idempotent, what was delivered before a later failure may be delivered again.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from byline.usage.journal.entries import Columns
from byline.usage.record import UsageRecord

Item = UsageRecord | Columns
Deliver = Callable[[list[UsageRecord], list[Columns]], None]
"""Durable on return, idempotent by `request_id` and `event_id`."""


class Refusal(msgspec.Struct, frozen=True):
    item: Item
    reason: str


class TooManyRefusedError(RuntimeError):
    """So much is refused that the store or its schema must be at fault, not the rows."""

    def __init__(self, last: Refusal) -> None:
        super().__init__(f"the store refuses row after row, lastly: {last.reason}")


def deliver_around(
    deliver: Deliver,
    rows: list[UsageRecord],
    events: list[Columns],
    *,
    max_refused: int,
    believe_lone: bool = False,
) -> list[Refusal]:
    """Deliver everything but what is refused for good; returns that. Other errors pass through.

    Raises TooManyRefusedError for more than `max_refused`, and where nothing at all was accepted
    unless `believe_lone`.
    """
    refused: list[Refusal] = []
    halves: list[list[Item]] = [[*rows, *events]]
    while halves:
        items = halves.pop()
        try:
            deliver(*_apart(items))
        except ValueError as error:
            if len(items) == 1:
                refused.append(Refusal(items[0], str(error)))
            else:
                middle = len(items) // 2
                halves += [items[middle:], items[:middle]]
        if len(refused) > max_refused:
            raise TooManyRefusedError(refused[-1])
    if refused and len(refused) == len(rows) + len(events) and not believe_lone:
        raise TooManyRefusedError(refused[-1])
    return refused


def _apart(items: list[Item]) -> tuple[list[UsageRecord], list[Columns]]:
    rows = [item for item in items if isinstance(item, UsageRecord)]
    return rows, [item for item in items if not isinstance(item, UsageRecord)]
