"""Report rows for people: short headings, money with its sign, one unit per column, a line of totals.

JSON and CSV stay exact and are `output`'s business; nothing here reaches them.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime, tzinfo
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final, TextIO, TypedDict, Unpack, cast

from byline.cli.output import UNWRAPPED_WIDTH, note, printable
from byline.usage.ledger import Table

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table as RichTable

_HEADINGS: Final = {
    "input_tokens": "input",
    "output_tokens": "output",
    "cache_read_tokens": "cache read",
    "cache_write_tokens": "cache write",
    "cost_usd": "cost",
    "cost_usd_before": "cost before",
    "cost_before_usd": "cost before",
    "cost_after_usd": "cost after",
    "ledger_cost_usd": "ledger cost",
    "provider_cost_usd": "provider cost",
    "difference_usd": "difference",
    "started_at": "time",
    "http_status": "status",
    "duration_ms": "duration",
    "ttft_ms": "first byte",
    "throttled": "429s",
    "throttled_before": "429s before",
    "input_per_mtok": "input",
    "cache_read_per_mtok": "cache read",
    "cache_write_5m_per_mtok": "5m write",
    "cache_write_1h_per_mtok": "1h write",
    "output_per_mtok": "output",
    "web_search_per_1k": "1k searches",
}
_UNBOUNDED: Final = 100_000
_LEAST_TEXT: Final = 12
"""Text is folded to no less than this, and columns are left out instead."""
_GAP: Final = 3
_NAMED: Final = 8
"""Of the columns left out, so many are named."""
_EXPENDABLE: Final = (
    "as_of", "left", "reserved", "per_minute", "request_id", "replaced_by", "source", "owner_email", "owner_team", "email", "ttft_ms", "created_at",
    "duration_ms", "cache_write_tokens", "cache_read_tokens", "requests_before", "tokens_before", "may_claim",
    "last_used_at", "no_usage", "partial", "unknown_model", "priced", "web_search_per_1k", "http_status", "rejected", "output_tokens", "input_tokens",
    "cache_write_1h_per_mtok", "provider_requests", "ledger_requests", "ledger_input_tokens", "provider_input_tokens",
    "ledger_output_tokens", "provider_output_tokens", "ledger_cost_usd", "provider_cost_usd", "difference_usd",
)  # fmt: skip
"""What a narrow terminal does without, in this order, after such of these columns as hold nothing.

Where that is not enough, the last columns go: half a column says less than none."""
_EXPENDABLE_IF_EMPTY: Final = (*_EXPENDABLE, "above_tokens")
_END_OF_LINE: Final = re.compile(r" +$", re.MULTILINE)
_CODES: Final = ("http_status",)
"""Numbers that are names: not grouped, not summed."""


def console() -> Console:
    from rich.console import Console

    if sys.stdout.isatty():
        return Console(highlight=False)
    return Console(file=cast("TextIO", _Trimmed(sys.stdout)), width=UNWRAPPED_WIDTH, highlight=False)


class _Trimmed:
    """Takes the blanks off the ends of lines, which fill a table up and are noise in a file."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        return self._stream.write(_END_OF_LINE.sub("", text))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def show(table: Table, **options: Unpack[Options]) -> None:
    """Prints the table; a narrow terminal gets shortened counts (1.13 G), then fewer columns, and is told so."""
    screen = console()
    shown, left_out = fitted(table, screen, **options)
    screen.print(shown)
    if left_out:
        more = f" and {len(left_out) - _NAMED} more" if len(left_out) > _NAMED else ""
        note(f"Left out for want of width: {', '.join(left_out[:_NAMED])}{more}.")


def fitted(table: Table, screen: Console, **options: Unpack[Options]) -> tuple[RichTable, list[str]]:
    """The table as wide as the screen allows, and the headings of the columns it does without."""
    whole = rendered(table, **options)
    unbounded = screen.options.update(max_width=_UNBOUNDED)
    if screen.measure(whole, options=unbounded).maximum <= screen.width:
        return whole, []
    options["compact"] = True
    narrow = _narrowed(table, screen.width, options)
    names = options.get("headings") or {}
    left_out = [names.get(name, _heading(name)) for name in table.columns if name not in narrow.columns]
    return rendered(narrow, **options), left_out


def _narrowed(table: Table, width: int, options: Options) -> Table:
    """The table without as many expendable columns as it takes to fit."""
    empty = [name for name, *cells in _by_column(table) if all(cell is None for cell in cells)]
    first_to_go = [name for name in empty if name in _EXPENDABLE_IF_EMPTY] + list(_EXPENDABLE)
    for name in first_to_go + list(reversed(table.columns[1:])):
        if _least_width(rendered(table, **options)) <= width:
            break
        table = _without(table, name)
    return table


def _by_column(table: Table) -> list[tuple[Any, ...]]:
    return list(zip(table.columns, *table.rows, strict=True))


def _without(table: Table, name: str) -> Table:
    kept = [index for index, column in enumerate(table.columns) if column != name]
    rows = [tuple(row[index] for index in kept) for row in table.rows]
    return Table(columns=tuple(table.columns[index] for index in kept), rows=rows)


def _least_width(shown: RichTable) -> int:
    return sum(column.min_width or 0 for column in shown.columns) + _GAP * (len(shown.columns) - 1)


class Options(TypedDict, total=False):
    title: str | None
    zone: tzinfo
    totals: Collection[str]
    sums: Mapping[str, Any] | None
    headings: Mapping[str, str] | None
    at_most: int | None
    money: Collection[str] | None
    messages: Collection[str]
    compact: bool


def rendered(
    table: Table,
    *,
    title: str | None = None,
    zone: tzinfo = UTC,
    totals: Collection[str] = (),
    sums: Mapping[str, Any] | None = None,
    headings: Mapping[str, str] | None = None,
    at_most: int | None = None,
    money: Collection[str] | None = None,
    messages: Collection[str] = (),
    compact: bool = False,
) -> RichTable:
    """`totals` names the columns to sum below the rows, when there are several, also those not shown.

    `sums` are their totals where more rows count than the table has. `money` names the columns whose decimals are
    dollars: all of them if absent. `messages` names those of Byline's own words, whose line breaks count.
    """
    from rich.box import SIMPLE
    from rich.table import Table as RichTable
    from rich.text import Text

    shown = RichTable(
        box=SIMPLE, title=title, title_justify="left", title_style="bold", pad_edge=False, show_edge=False
    )
    shown.show_footer = bool(totals) and (len(table.rows) > 1 or sums is not None)
    names = headings or {}
    columns: list[list[str]] = []
    for index, name in enumerate(table.columns):
        values = [row[index] for row in table.rows]
        numeric = _is_numeric(values) or name in totals
        if money is not None and name not in money:
            values = _without_money(values)
        if name in messages:
            cells = [printable(value or "-") for value in values[:at_most]]
        else:
            cells = _cells(name, values[:at_most], zone, compact=compact)
        columns.append(cells)
        heading = names.get(name, _heading(name)) + _zone_of(values, zone)
        total = sums[name] if sums and name in totals else _total(values) if name in totals else None
        footer = _footer(index, name, total, totals, compact=compact)
        shown.add_column(
            heading,
            Text(footer, style="bold"),
            min_width=_column_width(heading, [*cells, footer], numeric=numeric),
            justify="right" if numeric else "left",
            overflow="fold",
            no_wrap=numeric,
        )
    for cells in zip(*columns, strict=True):
        shown.add_row(*(Text(cell) for cell in cells))
    return shown


def _heading(name: str) -> str:
    return _HEADINGS.get(name, name.replace("_", " "))


def _zone_of(values: Sequence[Any], zone: tzinfo) -> str:
    return f" ({zone})" if any(isinstance(value, datetime) for value in values) else ""


def _column_width(heading: str, cells: Sequence[str], *, numeric: bool) -> int:
    from rich.cells import cell_len

    longest = max((cell_len(line) for each in cells for line in each.splitlines()), default=0)
    if numeric:
        return max(cell_len(heading), longest)
    return min(max(cell_len(heading), longest), _LEAST_TEXT)


def _footer(index: int, name: str, total: Any, totals: Collection[str], *, compact: bool) -> str:
    if name in totals:
        return _cells(name, [total], UTC, compact=compact)[0]
    return "" if index else "total"


def _total(values: Sequence[Any]) -> Any:
    known = [value for value in values if value is not None]
    return sum(known) if known else None


def _is_numeric(values: Sequence[Any]) -> bool:
    known = [value for value in values if value is not None]
    return bool(known) and all(type(value) in (int, float, Decimal) for value in known)


def _cells(name: str, values: Sequence[Any], zone: tzinfo, *, compact: bool) -> list[str]:
    places = money_places([value for value in values if isinstance(value, Decimal)])
    return [
        dollars(value, places) if isinstance(value, Decimal) else cell(name, value, zone, compact=compact)
        for value in values
    ]


def _without_money(values: Sequence[Any]) -> list[Any]:
    """Decimals as text, exact: whoever asked for them chose their places."""
    return [f"{value:,f}" if isinstance(value, Decimal) else value for value in values]


def money_places(values: Sequence[Decimal]) -> int:
    """Cents, unless the dearest is so cheap that cents would show nothing of the rest."""
    largest = max((abs(value) for value in values), default=Decimal(0))
    return 2 if largest >= 10 else 4 if largest >= Decimal("0.05") else 6


def dollars(value: Decimal, places: int = 2) -> str:
    least = Decimal(1).scaleb(-places)
    if value and abs(value) < least / 2:
        return f"<${least}"
    return f"{'-' if value < 0 else ''}${abs(value):,.{places}f}"


def cell(name: str, value: Any, zone: tzinfo = UTC, *, compact: bool = False) -> str:
    match value:
        case None:
            return "-"
        case bool():
            return "yes" if value else "no"
        case int() if name in _CODES:
            return str(value)
        case int():
            return short(value) if compact else f"{value:,}"
        case float() if name.endswith(("_share", "_captured")):
            return f"{value:.1%}"
        case float() if name.endswith("_ms"):
            return duration(value)
        case float():
            return f"{value:,.1f}"
        case datetime():
            return f"{value.astimezone(zone):{'%Y-%m-%d %H:%M' if name == 'hour' else '%Y-%m-%d %H:%M:%S'}}"
        case _:
            return printable(str(value)).replace("\n", "\ufffd")


def short(count: int) -> str:
    """Three digits that count: 999, 12.3 k, 1.13 G."""
    for unit, power in (("T", 12), ("G", 9), ("M", 6), ("k", 3)):
        if abs(count) >= 10**power:
            number = count / 10**power
            return f"{number:.{2 if abs(number) < 10 else 1 if abs(number) < 100 else 0}f} {unit}"
    return str(count)


def duration(milliseconds: float) -> str:
    if milliseconds < 1000:
        return f"{milliseconds:,.0f} ms"
    if milliseconds < 100_000:
        return f"{milliseconds / 1000:.1f} s"
    return f"{milliseconds / 1000:,.0f} s"
