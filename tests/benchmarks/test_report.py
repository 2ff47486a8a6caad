from __future__ import annotations

import pytest
from msgspec.structs import replace

from benchmarks import report, report_table
from benchmarks.data_plane import LOADS
from benchmarks.gateway import Recorded
from benchmarks.load import Distribution, Result
from benchmarks.measurement import Clocks, Run, Window
from benchmarks.provider import Seen

REQUESTS = 1_000


def run(
    contender: str,
    cpu_s: float,
    *,
    load: str = "2KB",
    p50: float = 100,
    resident_mb: float = 50,
    **differing: int,
) -> Run:
    times = Distribution(REQUESTS, p50, p50, p50 * 2, p50 * 3)
    result = Result(
        latency_us=times, first_byte_us=times, event_delay_us=times, started=REQUESTS, completed=REQUESTS, failed=0,
        refused=0, broken=0, unfinished=0, requests=REQUESTS, events=0, bytes=0, window_s=1, cpu_s=0.2, backlog_s=0,
    )  # fmt: skip
    spent = Clocks(
        proxy=cpu_s,
        provider=0.3,
        others=0,
        proxy_core=1,
        other_core=1,
        resident_mb=resident_mb,
        peak_mb=resident_mb,
    )
    counts = {
        "requests": REQUESTS,
        "same_user_id": REQUESTS,
        "with_credential": REQUESTS,
        "rows": REQUESTS,
    } | differing
    seen = Seen(
        requests=counts["requests"], streams_ended=0, aborted=0, with_user_id=REQUESTS, same_user_id=counts["same_user_id"],
        with_credential=counts["with_credential"], leaked=0, user_id="u1",
    )  # fmt: skip
    rows = counts["rows"]
    recorded = Recorded(
        rows=rows,
        ids=rows,
        complete=rows,
        output_tokens=0,
        provider_request_ids=rows,
        identifiers=1,
        identifier="u1",
        stamped="u1",
    )
    window = Window(result, spent)
    return Run(contender, load, window, None, seen, recorded if contender == "gateway" else None)


def summary_of(*runs: Run) -> report.Summary:
    return report.summarise(list(runs), rounds=1, seconds=1, turns=1, seed=1)


def test_ratios_are_taken_within_a_round_so_that_a_slow_round_does_not_count_twice() -> None:
    pairs = [(0.010, 0.020), (0.100, 0.200), (0.010, 0.030)]
    runs = [
        run(name, cpu_s) for pair in pairs for name, cpu_s in zip(("nginx", "gateway"), pair, strict=True)
    ]
    (ratio,) = [line.cpu_ratio for line in summary_of(*runs).lines if line.cpu_ratio]
    assert (ratio.median, ratio.min, ratio.max) == (pytest.approx(2), pytest.approx(2), pytest.approx(3))


def test_a_ratio_or_a_worker_beyond_its_limit_is_named() -> None:
    summary = summary_of(run("nginx", 0.01), run("gateway", 0.04, resident_mb=130))
    assert summary.beyond_limits == [
        "2KB: 4.00 times nginx's CPU, limit 3.0",
        "2KB: worker used 130 MB, limit 120",
    ]
    assert summary.faults == []


@pytest.mark.parametrize("count", ["requests", "same_user_id", "with_credential", "rows"])
def test_a_run_whose_counts_differ_is_no_result(count: str) -> None:
    summary = summary_of(run("gateway", 0.01, **{count: REQUESTS - 1}))
    assert summary.faults
    assert "INVALID 2KB gateway:" in report_table.table(summary)


def test_added_latency_is_over_direct() -> None:
    summary = summary_of(run("direct", 0, p50=100), run("gateway", 0.01, p50=180))
    (gateway,) = [line for line in summary.lines if line.contender == "gateway"]
    assert (gateway.added_p50_us, gateway.added_p99_us) == (80, 160)


def test_turns_count_by_what_was_done_in_them_and_not_each_alike() -> None:
    short, long = run("gateway", 0.01, p50=100), run("gateway", 0.05, p50=300, resident_mb=60)
    parts = [
        short.closed,
        replace(long.closed, result=replace(long.closed.result, requests=3 * REQUESTS, failed=2)),
    ]
    whole = Window.over(parts)
    assert whole.cpu_us_per_request == pytest.approx(0.06 / (4 * REQUESTS) * 1e6)
    assert (whole.result.window_s, whole.proxy_share, whole.result.failed) == (2, pytest.approx(0.03), 2)
    assert (whole.result.latency_us.p50, whole.result.latency_us.max) == (200, 900)
    assert whole.spent.peak_mb == 60


def test_windows_on_streams_hold_whole_streams_and_others_share_the_seconds() -> None:
    plans = {load.name: load.turns(3.0, 6) for load in LOADS}
    assert [plan.seconds for plan in plans["2KB"]] == [0.5] * 6
    assert [plan.seconds for plan in plans["paced-sse"]] == [pytest.approx(0.99)] * 3


def test_a_stream_that_never_ended_while_it_was_measured_is_no_result() -> None:
    closed = run("nginx", 0.01, load="paced-sse").closed
    without = Window(replace(closed.result, requests=0, events=REQUESTS), closed.spent)
    (fault,) = replace(run("nginx", 0.01, load="paced-sse"), closed=without).faults()
    assert "no stream ended" in fault
