"""The recorded provider streams, where they are at hand, with the counts official clients read."""

from __future__ import annotations

import csv
import os
from pathlib import Path
from typing import NamedTuple

_REPOSITORY = Path(__file__).resolve().parents[2]


def directory() -> Path:
    named = os.environ.get("BYLINE_RECORDINGS")
    return Path(named) if named else _REPOSITORY.parent / "shared" / "recordings"


class Recording(NamedTuple):
    path: Path
    expected: dict[str, str]

    @property
    def body(self) -> bytes:
        return self.path.read_bytes()


def load() -> list[Recording]:
    index = directory() / "INDEX.tsv"
    if not index.exists():
        return []
    with index.open(newline="") as lines:
        rows = csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE)
        return [Recording(directory() / row["path"], dict(row)) for row in rows]
