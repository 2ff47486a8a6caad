"""Two books side by side: which share the ledger captured, and where differences likely come from.

Causes are told apart by what either side says about itself; where that leaves several, all are named.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from decimal import Decimal
from typing import Final

import msgspec

from byline.usage.ledger import Table
from byline.usage.reconcile.figures import Book, Figures, Key

TOLERANCE: Final = 0.001
"""Relative difference below which two figures count as the same."""
COLUMNS: Final = (
    "day", "model", "ledger_requests", "provider_requests", "ledger_input_tokens", "provider_input_tokens",
    "ledger_output_tokens", "provider_output_tokens", "tokens_captured", "ledger_cost_usd", "provider_cost_usd",
    "cost_captured", "difference_usd", "likely_causes",
)  # fmt: skip
NOTHING: Final = Figures()


class Line(msgspec.Struct, frozen=True):
    """One day and model as both sides count it; `ours` or `theirs` is None where a side lacks it."""

    key: Key
    ours: Figures | None
    theirs: Figures | None

    @property
    def tokens_captured(self) -> float | None:
        return _ratio((self.ours or NOTHING).tokens or 0, (self.theirs or NOTHING).tokens)

    @property
    def cost_captured(self) -> float | None:
        return _ratio((self.ours or NOTHING).cost_usd or Decimal(0), (self.theirs or NOTHING).cost_usd)

    @property
    def missing_tokens(self) -> int:
        return ((self.theirs or NOTHING).tokens or 0) - ((self.ours or NOTHING).tokens or 0)


class Comparison:
    def __init__(self, ours: Book, theirs: Book, today: date, *, has_usage: bool = True) -> None:
        """`today` is a day that neither side has wholly counted."""
        self._today = today
        self._has_usage = has_usage
        self._lines = {key: Line(key, ours.get(key), theirs.get(key)) for key in {*ours, *theirs}}

    def table(self) -> Table:
        lines = sorted(self._lines.values(), key=lambda line: (line.key[0] or date.min, line.key[1] or ""))
        return Table(COLUMNS, [self._row(line) for line in lines])

    def _row(self, line: Line) -> tuple[object, ...]:
        ours, theirs = line.ours or NOTHING, line.theirs or NOTHING
        return (
            *line.key,
            ours.requests,
            theirs.requests,
            ours.input_tokens,
            theirs.input_tokens,
            ours.output_tokens,
            theirs.output_tokens,
            _rounded(line.tokens_captured),
            _money(ours.cost_usd),
            _money(theirs.cost_usd),
            _rounded(line.cost_captured),
            _money(_difference(ours.cost_usd, theirs.cost_usd)),
            "; ".join(self.causes(line)) or None,
        )

    def causes(self, line: Line) -> list[str]:
        if line.ours is None:
            return [*self._still_counting(line), _only_theirs(line)]
        if line.theirs is None:
            return [*self._still_counting(line), _ONLY_OURS]
        found = [*self._of_tokens(line, line.ours), *_of_price(line, line.ours, line.theirs)]
        return [*self._still_counting(line), *found] if found else []

    def _still_counting(self, line: Line) -> list[str]:
        return ["the day is not over, both sides still count"] if line.key[0] == self._today else []

    def _of_tokens(self, line: Line, ours: Figures) -> Iterator[str]:
        share = line.tokens_captured if self._has_usage else None
        if share is None or _is_one(share):
            return
        if neighbour := self._neighbour(line):
            yield f"{neighbour} differs by as much the other way: requests around midnight UTC"
            return
        if share > 1:
            yield _MORE_THAN_THEIRS
            return
        if ours.incomplete:
            yield f"{ours.incomplete} answers were cut short, so their usage is not whole"
        if ours.without_usage:
            yield f"{ours.without_usage} answers reported no usage"
        yield _PAST_THE_GATEWAY

    def _neighbour(self, line: Line) -> date | None:
        """The day beside this one that has too much of what is missing here."""
        day, model = line.key
        if day is None:
            return None
        for other in (day - timedelta(days=1), day + timedelta(days=1)):
            beside = self._lines.get((other, model))
            if (
                beside
                and beside.ours
                and beside.theirs
                and _opposite(line.missing_tokens, beside.missing_tokens)
            ):
                return other
        return None


_ONLY_OURS: Final = (
    "not in the provider's report: another organization's key, another name of the model, or not reported yet"
)
_MORE_THAN_THEIRS: Final = (
    "more than the provider counts: another organization's key, or not all reported yet"
)
_PAST_THE_GATEWAY: Final = (
    "calls that don't go through Byline: other keys, or clients that call the provider itself"
)


def _only_theirs(line: Line) -> str:
    match line.key[1]:
        case "(web_search)":
            return "the provider lists web searches apart; Byline counts them with their model"
        case str() as model if model.startswith("("):
            return "no model's tokens: Byline doesn't meter it"
        case _:
            return _PAST_THE_GATEWAY


def _of_price(line: Line, ours: Figures, theirs: Figures) -> Iterator[str]:
    """Differences in money that the differences in tokens don't explain."""
    cost, tokens = line.cost_captured, line.tokens_captured
    if cost is None or _is_one(cost / tokens if tokens else cost):
        return
    if ours.unpriced:
        yield f"{ours.unpriced} rows have no whole price: see `byline prices show`, then `byline reprice`"
    if ours.priority_tokens or theirs.priority_tokens:
        yield "tokens of a contracted tier are not in the provider's cost report"
    if not ours.unpriced and tokens is not None and _is_one(tokens) and cost:
        yield f"the provider charged {1 / cost:.1%} of the known price: a discount or another price; write it down as own price"


def _ratio(part: int | Decimal, whole: int | Decimal | None) -> float | None:
    return float(part / whole) if whole else None


def _is_one(share: float) -> bool:
    return abs(share - 1) <= TOLERANCE


def _opposite(missing: int, beside: int) -> bool:
    return missing * beside < 0 and abs(missing + beside) <= max(abs(missing), abs(beside)) * 0.05


def _difference(ours: Decimal | None, theirs: Decimal | None) -> Decimal | None:
    if ours is None and theirs is None:
        return None
    return (ours or Decimal(0)) - (theirs or Decimal(0))


def _money(amount: Decimal | None) -> Decimal | None:
    return None if amount is None else amount.normalize() + 0


def _rounded(share: float | None) -> float | None:
    return None if share is None else round(share, 6)
