from __future__ import annotations

from decimal import Decimal

from byline.cli.demo.audit import NOBODY, Difference, Sums, compare, counted_by_provider, kept_in_ledger
from byline.testing import Counted, Usage
from byline.usage.ledger import Table

USAGE = Usage(input_uncached=10, cache_read=20, cache_write_5m=3, cache_write_1h=4, output=5)
COLUMNS = (
    "user",
    "requests",
    "rejected",
    "input_tokens",
    "output_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
    "cost_usd",
)


def test_identifiers_become_users_and_unknown_ones_stand_out() -> None:
    counted = {"usr_1": Counted(2, USAGE), "forged": Counted(1), None: Counted(1)}
    assert counted_by_provider(counted, {"usr_1": "nadia"}) == {
        "nadia": Sums(2, 37, 5, 20, 7),
        NOBODY: Sums(requests=2),
    }


def test_equal_books_show_no_difference() -> None:
    table = Table(
        COLUMNS, [("nadia", 2, 0, 37, 5, 20, 7, Decimal("0.1")), ("omar", 1, 0, 0, 0, None, None, None)]
    )
    provider = {"nadia": Sums(2, 37, 5, 20, 7), "omar": Sums(1)}
    assert compare(provider, kept_in_ledger(table)) == []


def test_every_count_that_differs_is_named() -> None:
    found = compare({"nadia": Sums(2, 37), "omar": Sums(1)}, {"nadia": Sums(2, 36)})
    assert found == [Difference("nadia", "input tokens", 37, 36), Difference("omar", "requests", 1, 0)]
    assert str(found[0]) == "nadia: input tokens are 37 at the provider, 36 in the ledger"
