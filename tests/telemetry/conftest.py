from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from tests.telemetry.receivers import Receiver

from byline.telemetry.source import Source
from byline.telemetry.verified import i_verified_this_is_not_code_or_filepaths as vouch


@pytest.fixture
def make_receiver() -> Iterator[Callable[[], Receiver]]:
    made: list[Receiver] = []

    def make() -> Receiver:
        made.append(Receiver())
        return made[-1]

    yield make
    for receiver in made:
        receiver.close()


@pytest.fixture
def receiver(make_receiver: Callable[[], Receiver]) -> Receiver:
    return make_receiver()


@pytest.fixture
def source() -> Source:
    return Source(program=vouch("newsroom"), version=vouch("1.2.3"), build=vouch("public"))
