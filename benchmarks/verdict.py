"""Holds the ledger's rows against what the provider saw, marker by marker."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable

import msgspec

UNSENT_OUTCOMES = frozenset({"interrupted", "rejected"})
"""What a row may say whose request never reached the provider."""
EXAMPLES = 10


class MarkedRow(msgspec.Struct, frozen=True):
    marker: str
    outcome: str
    request_id: str


class Verdict(msgspec.Struct, frozen=True):
    seen: int
    """Requests that reached the provider whole."""
    rows: int
    lost: int
    """Seen, and no row."""
    twice: int
    """More rows than requests seen, or one id on two rows."""
    unmarked: int
    """Rows that belong to no request of the load."""
    unseen_with_outcome: int
    """Never seen, and yet the row claims an answer or a failed upstream."""
    interrupted_seen: int
    """Seen, and in flight when its writer died."""
    interrupted_unseen: int
    """Recorded, and killed before or while it was sent: counted apart."""
    rejected: int
    answered_but_interrupted: int
    """The client had the whole answer; its end entry had not been written when the writer died."""
    outcomes: dict[str, int]
    examples: list[str]

    @property
    def holds(self) -> bool:
        return not (self.lost or self.twice or self.unmarked or self.unseen_with_outcome)


def judge(seen: Counter[str], rows: Iterable[MarkedRow], answered: Collection[str] = ()) -> Verdict:
    by_marker: defaultdict[str, list[MarkedRow]] = defaultdict(list)
    for row in rows:
        by_marker[row.marker].append(row)
    unmarked = by_marker.pop("", [])
    every = [row for group in by_marker.values() for row in group]
    lost = [marker for marker, count in seen.items() if len(by_marker.get(marker, ())) < count]
    twice = [marker for marker, group in by_marker.items() if len(group) > max(1, seen[marker])]
    ids = Counter(row.request_id for row in every)
    twice += [row.marker for row in every if ids[row.request_id] > 1]
    unseen = [row for row in every if not seen[row.marker]]
    odd = [row.marker for row in unseen if row.outcome not in UNSENT_OUTCOMES]
    interrupted = [row for row in every if row.outcome == "interrupted"]
    return Verdict(
        seen=seen.total(),
        rows=len(every),
        lost=len(lost),
        twice=len(set(twice)),
        unmarked=len(unmarked),
        unseen_with_outcome=len(odd),
        interrupted_seen=sum(1 for row in interrupted if seen[row.marker]),
        interrupted_unseen=sum(1 for row in interrupted if not seen[row.marker]),
        rejected=sum(1 for row in every if row.outcome == "rejected"),
        answered_but_interrupted=sum(1 for row in interrupted if row.marker in answered),
        outcomes=dict(Counter(row.outcome for row in every)),
        examples=[
            f"{kind} {marker}"
            for kind, found in (("lost", lost), ("twice", twice), ("unseen", odd))
            for marker in found[:EXAMPLES]
        ],
    )
