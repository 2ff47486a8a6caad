"""The figures of the data-plane benchmark as a table for people."""

from __future__ import annotations

from benchmarks.report import Line, Summary

HEADINGS = (
    "load",
    "through",
    "CPU us",
    "min..max",
    "per s",
    "p50 us",
    "p99 us",
    "+p50",
    "+p99",
    "RSS MB",
    "x nginx",
    "min..max",
    "limit",
    "proxy",
    "harness",
    "foreign",
)


def table(summary: Summary) -> str:
    rows = [HEADINGS, *(_cells(line) for line in summary.lines)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADINGS))]
    text = ["  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
    where = summary.environment
    text.append("")
    text.append(
        f"{where.measured_at:%Y-%m-%d %H:%M} UTC, {where.cpu}, Linux {where.kernel}, Python {where.python}, "
        f"nginx {where.nginx or 'not run'}; median of {summary.rounds} rounds of {summary.seconds:g} s in {summary.turns} turns, "
        f"seed {summary.seed}"
    )
    text += [
        f"the harness was the limit: {line.load} {line.contender}, {line.harness_was_limit} rounds"
        for line in summary.lines
        if line.harness_was_limit
    ]
    text += [f"beyond the limit: {problem}" for problem in summary.beyond_limits]
    text += [f"INVALID {fault}" for fault in summary.faults]
    return "\n".join(text)


def _cells(line: Line) -> tuple[str, ...]:
    return (
        line.load,
        line.contender,
        f"{line.cpu_us.median:.1f}/{line.unit[:3]}" if line.cpu_us else "-",
        f"{line.cpu_us.min:.1f}..{line.cpu_us.max:.1f}" if line.cpu_us else "-",
        f"{line.per_s.median:.0f}",
        f"{line.p50_us.median:.0f}",
        f"{line.p99_us.median:.0f}",
        "-" if line.added_p50_us is None else f"{line.added_p50_us:.0f}",
        "-" if line.added_p99_us is None else f"{line.added_p99_us:.0f}",
        f"{line.resident_mb.median:.0f}" if line.resident_mb else "-",
        f"{line.cpu_ratio.median:.2f}" if line.cpu_ratio else "-",
        f"{line.cpu_ratio.min:.2f}..{line.cpu_ratio.max:.2f}" if line.cpu_ratio else "-",
        f"{line.limit:g}" if line.limit else "-",
        f"{line.proxy_share.median:.0%}",
        f"{line.harness_share.median:.0%}",
        f"{line.foreign_share.median:.0%}",
    )
