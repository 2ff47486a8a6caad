"""The recorded provider streams, where they are at hand, with the counts official clients read.

A test that takes `recording` runs once for each of them. They are looked for in
`$BYLINE_RECORDINGS`, then in `shared/recordings` beside the repository.
"""

from __future__ import annotations

import csv
import os
from pathlib import Path
from typing import NamedTuple

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]


class Recording(NamedTuple):
    path: Path
    expected: dict[str, str]

    @property
    def body(self) -> bytes:
        return self.path.read_bytes()

    @property
    def endpoint(self) -> str:
        return self.expected["endpoint"]


def recordings() -> list[Recording]:
    named = os.environ.get("BYLINE_RECORDINGS")
    directory = Path(named) if named else REPOSITORY.parent / "shared" / "recordings"
    if not (directory / "INDEX.tsv").exists():
        return []
    with (directory / "INDEX.tsv").open(newline="") as lines:
        rows = csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE)
        return [Recording(directory / row["path"], dict(row)) for row in rows]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "recording" in metafunc.fixturenames:
        # Without any, pytest skips the test as one with an empty parameter set.
        metafunc.parametrize("recording", recordings(), ids=lambda recording: recording.path.stem)
