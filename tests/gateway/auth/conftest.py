from __future__ import annotations

import pytest
from tests.gateway.token_issuer import NOW, JwksServer, Signer

from byline.control.database import open_control
from byline.control.directory import KeyDirectory


class Clock:
    """A clock that moves when told to."""

    def __init__(self, at: float = NOW) -> None:
        self.at = at

    def __call__(self) -> float:
        return self.at


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def database(tmp_path, clock):
    with open_control(tmp_path / "control.sqlite3", now=clock) as database:
        yield database


@pytest.fixture
def directory(database, clock):
    directory = KeyDirectory(database.path, max_stale_s=300, clock=clock)
    directory.refresh_if_changed()
    yield directory
    directory.close()


@pytest.fixture(scope="session")
def ec_signer():
    return Signer("ec-1")


@pytest.fixture(scope="session")
def rsa_signer():
    return Signer("rsa-1", "RS256")


@pytest.fixture
def jwks_server():
    with JwksServer() as server:
        yield server
