from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from openfeature import api
from openfeature.event import EventDetails, ProviderEvent
from openfeature.exception import ErrorCode
from tests.flags.conftest import exposure, load

from byline.flags.client import FeatureClient
from byline.flags.snapshot import Exposure
from byline.runtime.openfeature import BylineProvider


@pytest.fixture
def reported() -> list[Exposure]:
    return []


@pytest.fixture
def client(reported) -> Iterator[FeatureClient]:
    client = FeatureClient(None, report=reported.append)
    load(client, {"flag": True, "limit": 5, "share": 0.5, "name": "x", "rules": {"a": [1]}, "null": None}, flag=(exposure("flag"),))  # fmt: skip
    api.set_provider_and_wait(BylineProvider(client))
    yield client
    client.close()
    client.refresher.join(10)
    api.shutdown()
    api.clear_providers()


def test_each_type_is_resolved_with_layer_and_reason(client, reported):
    flags = api.get_client()
    assert flags.get_boolean_value("flag", False) is True
    assert flags.get_integer_value("limit", 0) == 5
    assert flags.get_float_value("share", 0.0) == 0.5
    assert flags.get_float_value("limit", 0.0) == 5.0
    assert flags.get_string_value("name", "") == "x"
    assert flags.get_object_value("rules", {}) == {"a": [1]}
    details = flags.get_string_details("name", "")
    assert (details.reason, details.flag_metadata["layer"]) == ("STATIC", "memory")
    assert reported == [exposure("flag")]


def test_what_cant_be_served_is_the_default_with_openfeatures_error_code(client):
    flags = api.get_client()
    missing = flags.get_boolean_details("missing", True)
    assert (missing.value, missing.error_code, missing.reason) == (True, ErrorCode.FLAG_NOT_FOUND, "ERROR")
    mismatch = flags.get_integer_details("flag", 7)
    assert (mismatch.value, mismatch.error_code) == (7, ErrorCode.TYPE_MISMATCH)
    assert flags.get_string_value("null", "default") == "default"


def test_changes_are_announced_with_their_names(client):
    changed: list[EventDetails] = []
    told = threading.Event()

    def handle(details: EventDetails) -> None:
        changed.append(details)
        if details.flags_changed == ["limit"]:
            told.set()

    api.add_handler(ProviderEvent.PROVIDER_CONFIGURATION_CHANGED, handle)
    load(client, {"flag": True, "limit": 6, "share": 0.5, "name": "x", "rules": {"a": [1]}, "null": None})
    assert told.wait(10)
    api.remove_handler(ProviderEvent.PROVIDER_CONFIGURATION_CHANGED, handle)
