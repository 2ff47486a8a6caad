"""What the demo prints: the tables of `byline usage`, the coverage, and one request before and after."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from rich.console import Console, Group
from rich.panel import Panel
from rich.table import Table as Grid
from rich.text import Text

from byline.cli.demo.audit import Difference, Sums
from byline.cli.report_table import rendered
from byline.testing import SeenRequest
from byline.usage.ledger import Table

WIDTH: Final = 100
SUMMED: Final = (
    "requests", "input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens", "cost_usd",
)  # fmt: skip
_KEPT_CHARS: Final = 12


class Page:
    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(highlight=False)
        # A file gets the whole width; a terminal what it has, but never a stretched page.
        width = self._console.width if self._console.is_terminal else WIDTH
        self._console.width = min(width, WIDTH)

    def opening(self, provider_url: str, gateway_url: str) -> None:
        self._console.print(Text(f"simulated provider on {provider_url}", style="dim"))
        self._console.print(Text(f"gateway            on {gateway_url}", style="dim"))
        self._console.print(
            Text("two people and two services call it through the official SDKs ...", style="dim")
        )

    def usage(self, title: str, table: Table) -> None:
        shown = Table(tuple(c for c in table.columns if c != "rejected"), [])
        rows = [tuple(row[name] for name in shown.columns) for row in table.dicts()]
        self._console.print()
        self._console.print(rendered(Table(shown.columns, rows), title=title, totals=SUMMED))

    def coverage(self, coverage: Mapping[str, Any]) -> None:
        grid = Grid.grid(padding=(0, 3))
        for what in ("requests", "tokens"):
            shares = (f"{coverage[f'{what}_{who}_share'] or 0:.0%} with a {who}" for who in ("user", "job"))
            grid.add_row(Text(what), *(Text(share, style="bold") for share in shares))
        self._console.print()
        self._console.print(Text("Attribution coverage", style="bold"))
        self._console.print(grid)

    def stamped(self, row: Mapping[str, Any], seen: SeenRequest) -> None:
        """One forged request: what was claimed, what went out, what was written down."""
        grid = Grid.grid(padding=(0, 2))
        grid.add_column(style="dim", no_wrap=True)
        grid.add_column(overflow="fold")
        field = "metadata.user_id"
        grid.add_row("the client sent", Text(f'{field} = "{row["client_metadata_user_id"]}"', style="red"))
        grid.add_row("with the key of", Text(f"{row['user']} ({row['team']}), key {row['key_id']}"))
        grid.add_row("the provider saw", Text(f'{field} = "{seen.identity}"', style="green"))
        grid.add_row("", Text(f"authorized by {_masked(seen)}", style="green"))
        grid.add_row("the row says", Text(f"user {row['user']}, identity {row['identity_action']}"))
        body = Text(json.dumps(seen.json()), style="dim")
        body.highlight_words([f'"{seen.identity}"'], "not dim green")
        self._console.print()
        self._console.print(Text("One stamped request, as the provider saw it", style="bold"))
        self._console.print(Panel(Group(grid, Text(), body), expand=False, border_style="dim"))

    def verdict(self, differences: Sequence[Difference], total: Sums) -> None:
        self._console.print()
        if differences:
            self._console.print(Text("The ledger and the provider disagree:", style="bold red"))
            for difference in differences:
                self._console.print(Text(f"  {difference}", style="red"))
            return
        text = (
            f"The ledger agrees with the provider's own counts: {total.requests:,} requests, "
            f"{total.input_tokens:,} tokens in, {total.output_tokens:,} out."
        )
        self._console.print(Text(text, style="bold green"))


def _masked(seen: SeenRequest) -> str:
    name = "x-api-key" if seen.header("x-api-key") else "authorization"
    return f"{name}: {(seen.header(name) or '')[:_KEPT_CHARS]}... (the gateway's own)"
