from __future__ import annotations

from collections import Counter

import pytest

from benchmarks.verdict import MarkedRow, Verdict, judge


def row(marker: str, outcome: str = "ok", request_id: str = "") -> MarkedRow:
    return MarkedRow(marker, outcome, request_id or f"id-{marker}-{outcome}")


def verdict_of(seen: str, *rows: MarkedRow) -> Verdict:
    return judge(Counter(seen), rows)


def test_one_row_for_each_request_seen_holds() -> None:
    verdict = verdict_of("ab", row("a"), row("b", "interrupted"))
    assert verdict.holds
    assert (verdict.seen, verdict.rows, verdict.interrupted_seen) == (2, 2, 1)


def test_an_interrupted_row_never_seen_is_counted_apart() -> None:
    verdict = verdict_of("a", row("a"), row("b", "interrupted"))
    assert verdict.holds
    assert verdict.interrupted_unseen == 1


@pytest.mark.parametrize(
    ("seen", "rows", "fault"),
    [
        ("ab", [row("a")], "lost"),
        ("aa", [row("a")], "lost"),
        ("a", [row("a"), row("a", "interrupted")], "twice"),
        ("", [row("a", "interrupted", "1"), row("a", "interrupted", "2")], "twice"),
        ("ab", [row("a", request_id="1"), row("b", request_id="1")], "twice"),
        ("a", [row("a"), row("b", "upstream_disconnect")], "unseen_with_outcome"),
        ("a", [row("a"), row("")], "unmarked"),
    ],
)
def test_every_kind_of_wrong_row_is_a_fault(seen: str, rows: list[MarkedRow], fault: str) -> None:
    verdict = verdict_of(seen, *rows)
    assert not verdict.holds
    assert getattr(verdict, fault) > 0


def test_an_answer_whose_end_was_not_written_is_told() -> None:
    verdict = judge(Counter("a"), [row("a", "interrupted")], answered={"a"})
    assert verdict.answered_but_interrupted == 1
    assert verdict.holds
