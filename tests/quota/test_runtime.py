"""Merging by credential and window, changes only on change, and the accessors of programs."""

from __future__ import annotations

from itertools import permutations

from byline.quota.merging import LatestQuota
from byline.quota.notice import Notice
from byline.quota.reading import read_quota
from byline.quota.runtime import QuotaRuntime
from byline.quota.snapshot import QuotaSnapshot

NOW = 1_795_000_000
PREFIX = "anthropic-ratelimit-unified-"


def headers(status: str = "allowed", five: str = "0.10", **more: str) -> dict[str, str]:
    given = {
        "status": status,
        "reset": str(NOW + 900),
        "representative-claim": "five_hour",
        "5h-utilization": five,
    }
    return {PREFIX + name.replace("_", "-"): value for name, value in (given | more).items()}


def answer(at: float, status: str = "allowed", five: str = "0.10", **more: str) -> QuotaSnapshot:
    return read_quota(headers(status, five, **more), now=NOW + at, credential="default")


def test_answers_in_any_order_end_in_the_same_state() -> None:
    given = [
        answer(0),
        answer(1, "rejected", "1.0"),
        answer(2, "rejected", "1.0", **{"7d-utilization": "0.5"}),
    ]
    ends = []
    for order in permutations(given):
        latest = LatestQuota()
        for each in order:
            latest.observe(each)
        merged = latest.get("default")
        assert merged is not None
        ends.append((merged.status, merged.observed_at, dict(merged.windows)))
    assert all(end == ends[0] for end in ends)
    assert ends[0][0] == "rejected"


def test_a_late_older_answer_changes_nothing() -> None:
    latest = LatestQuota()
    assert latest.observe(answer(5, "rejected", "1.0")) is not None
    assert latest.observe(answer(4)) is None


def test_the_same_again_is_no_news() -> None:
    latest = LatestQuota()
    assert latest.observe(answer(0)) is not None
    assert latest.observe(answer(1)) is None
    assert latest.observe(answer(2, five="0.11")) is not None


def test_windows_that_an_answer_leaves_out_stay() -> None:
    latest = LatestQuota()
    latest.observe(answer(0, **{"7d-utilization": "0.5"}))
    latest.observe(answer(1))
    merged = latest.get("default")
    assert merged is not None
    assert merged.windows["seven_day"].utilization == 0.5


def test_an_answer_without_headers_says_nothing_but_ends_a_bare_throttle() -> None:
    latest = LatestQuota()
    silent = read_quota({}, now=NOW, credential="default")
    assert latest.observe(silent) is None
    latest.observe(answer(0, "rejected"))
    assert latest.observe(read_quota({}, now=NOW + 1, credential="default")) is None
    throttled = LatestQuota()
    throttled.observe(read_quota({}, status_code=429, now=NOW, credential="default"))
    ended = throttled.observe(read_quota({}, now=NOW + 1, credential="default"))
    assert ended is not None
    assert ended.status == "allowed"


def test_credentials_are_kept_apart() -> None:
    latest = LatestQuota()
    latest.observe(answer(0, "rejected"))
    other = read_quota(headers(), now=NOW, credential="other")
    assert latest.observe(other) is other


def test_listeners_hear_of_changes_with_the_transition_and_a_bad_one_harms_nobody() -> None:
    runtime, heard = QuotaRuntime(), list[tuple[str, str | None]]()

    def bad(snapshot: QuotaSnapshot, notice: Notice | None) -> None:
        raise RuntimeError

    runtime.on_change(bad)
    remove = runtime.on_change(
        lambda snapshot, notice: heard.append((snapshot.status, notice and notice.code))
    )
    runtime.observe(headers(), now=NOW)
    runtime.observe(headers(), now=NOW + 1)
    beyond = headers("rejected", **{"overage-status": "allowed"})
    runtime.observe(beyond, now=NOW + 2)
    remove()
    runtime.observe(headers(), now=NOW + 3)
    assert heard == [("allowed", None), ("rejected", "overage_started")]
    assert runtime.failed_listeners == 3


def test_the_footer_has_warnings_and_the_conversation_errors() -> None:
    runtime = QuotaRuntime()
    assert runtime.snapshot() is None
    assert (runtime.warning(), runtime.error()) == (None, None)
    runtime.observe(headers(five="0.9", **{"5h-surpassed-threshold": "0.75"}), now=NOW)
    assert (runtime.warning() or "").startswith("You have used 90 %")
    assert runtime.error() is None
    runtime.observe(headers("rejected"), now=NOW + 1, status_code=429)
    assert runtime.warning() is None
    assert (runtime.error() or "").startswith("You have reached your 5-hour limit")


def test_what_has_opened_again_says_nothing_any_more() -> None:
    rejected = answer(0, "rejected", "1.0", **{"5h-reset": str(NOW + 900), "7d-utilization": "0.5"})
    assert rejected.as_of(NOW + 899).status == "rejected"
    opened = rejected.as_of(NOW + 900)
    assert (opened.status, opened.resets_at, set(opened.windows)) == ("allowed", None, {"seven_day"})
