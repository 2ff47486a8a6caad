"""One thing that was looked at: how it is, and what to do about it."""

from __future__ import annotations

from typing import Final, Literal

import msgspec

from byline.usage.ledger import Table

MESSAGES: Final = ("detail", "remedy")
"""The columns of whole sentences, some of several lines: settings to write."""
State = Literal["ok", "warning", "failed"]


class Finding(msgspec.Struct, frozen=True):
    check: str
    state: State
    detail: str
    remedy: str | None = None


def table(findings: list[Finding]) -> Table:
    return Table(
        columns=Finding.__struct_fields__, rows=[msgspec.structs.astuple(finding) for finding in findings]
    )
