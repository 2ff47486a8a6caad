"""Holds the ledger against what the provider counted: same users, same requests, same tokens."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from byline.testing import Counted
from byline.usage.ledger import Table

NOBODY: Final = "(nobody we know)"


class Sums(msgspec.Struct, frozen=True):
    """What both sides count, named as the ledger's columns are."""

    requests: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0

    def __add__(self, other: Sums) -> Sums:
        mine, theirs = msgspec.structs.astuple(self), msgspec.structs.astuple(other)
        return Sums(*(a + b for a, b in zip(mine, theirs, strict=True)))


class Difference(msgspec.Struct, frozen=True):
    user: str
    what: str
    provider: int
    ledger: int

    def __str__(self) -> str:
        return (
            f"{self.user}: {self.what} are {self.provider:,} at the provider, {self.ledger:,} in the ledger"
        )


def counted_by_provider(
    counted: Mapping[str | None, Counted], usernames: Mapping[str, str]
) -> dict[str, Sums]:
    """By user name, from what stood in the identity field of each request."""
    totals: dict[str, Sums] = {}
    for identifier, count in counted.items():
        user = usernames.get(identifier or "", NOBODY)
        usage = count.usage
        sums = Sums(count.requests, usage.input, usage.output, usage.cache_read, usage.cache_write)
        totals[user] = totals.get(user, Sums()) + sums
    return totals


def kept_in_ledger(usage_by_user: Table) -> dict[str, Sums]:
    return {row["user"] or NOBODY: _sums(row) for row in usage_by_user.dicts()}


def compare(provider: Mapping[str, Sums], ledger: Mapping[str, Sums]) -> list[Difference]:
    found: list[Difference] = []
    for user in sorted(provider.keys() | ledger.keys()):
        theirs, ours = provider.get(user, Sums()), ledger.get(user, Sums())
        for what in Sums.__struct_fields__:
            counts = getattr(theirs, what), getattr(ours, what)
            if counts[0] != counts[1]:
                found.append(Difference(user, what.replace("_", " "), *counts))
    return found


def _sums(row: Mapping[str, Any]) -> Sums:
    return Sums(*(row[name] or 0 for name in Sums.__struct_fields__))
