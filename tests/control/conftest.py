from __future__ import annotations

import pytest

from byline.control.database import open_control


class Clock:
    """A clock that moves when told to."""

    def __init__(self, at: float = 1_800_000_000.0) -> None:
        self.at = at

    def __call__(self) -> float:
        return self.at


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "data" / "control.sqlite3"


@pytest.fixture
def database(path, clock):
    with open_control(path, now=clock) as database:
        yield database
