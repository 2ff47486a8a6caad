"""What was used on a day by a model, as either side counts it."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from decimal import Decimal

import msgspec

from byline.usage.prices.names import cleaned, plain_names

Key = tuple[date | None, str | None]
"""Day (UTC) and model; None where figures are not told apart by it."""
OTHER_MODEL = "(no model)"


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """Sums. None: this side does not say."""

    requests: int | None = None
    input_tokens: int | None = None
    """Total, cache included."""
    cache_read_tokens: int | None = None
    cache_write_tokens: int | None = None
    output_tokens: int | None = None
    priority_tokens: int | None = None
    """Of all tokens those of a tier that is paid by contract, not by the token."""
    cost_usd: Decimal | None = None
    unpriced: int | None = None
    """Requests whose cost is not or not wholly known."""
    incomplete: int | None = None
    """Requests whose usage was cut short."""
    without_usage: int | None = None

    @property
    def tokens(self) -> int | None:
        if self.input_tokens is None and self.output_tokens is None:
            return None
        return (self.input_tokens or 0) + (self.output_tokens or 0)

    def plus(self, other: Figures) -> Figures:
        sums = {name: _sum(getattr(self, name), getattr(other, name)) for name in self.__struct_fields__}
        return msgspec.structs.replace(self, **sums)


Book = dict[Key, Figures]


def add(book: Book, key: Key, figures: Figures) -> None:
    book[key] = book[key].plus(figures) if key in book else figures


def merged(books: Iterable[Book], by: tuple[str, ...] = ("day", "model")) -> Book:
    """All books in one, told apart by `day`, `model`, both or nothing."""
    result: Book = {}
    for book in books:
        for (day, model), figures in book.items():
            add(result, (day if "day" in by else None, model if "model" in by else None), figures)
    return result


def undated(model: str | None) -> str:
    """The name by which both sides are matched: reports and answers date models differently."""
    if not model:
        return OTHER_MODEL
    *_, name = plain_names(cleaned(model))
    return name


def _sum(left: int | Decimal | None, right: int | Decimal | None) -> int | Decimal | None:
    if left is None or right is None:
        return right if left is None else left
    return left + right
