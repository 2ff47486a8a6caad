from __future__ import annotations

import logging

import pytest
from tests.flags.conftest import exposure, load

from byline.flags.client import FeatureClient, FeatureOptions
from byline.flags.disk import DiskSnapshot
from byline.flags.overrides import Overrides, read_environment
from byline.flags.snapshot import Exposure


def make_client(*, reported: list[Exposure] | None = None, **more) -> FeatureClient:
    disk = more.pop("disk", None)
    report = reported.append if reported is not None else None
    return FeatureClient(None, FeatureOptions(**more), disk=disk, report=report)


def test_the_environment_wins_over_the_configuration_and_both_over_what_was_fetched():
    client = make_client(overrides=Overrides({"a": "env"}, {"a": "config", "b": "config"}))
    load(client, {"a": "fetched", "b": "fetched", "c": "fetched"})
    assert [client.value(name, "") for name in "abcd"] == ["env", "config", "fetched", ""]
    layers = [client.details(name).layer for name in "abcd"]
    assert layers == ["env", "config", "memory", "default"]


def test_overrides_count_when_features_are_disabled_and_nothing_else_does(tmp_path):
    load(make_client(disk=DiskSnapshot(tmp_path, "k")), {"b": "kept"})
    reported: list[Exposure] = []
    client = make_client(
        reported=reported, enabled=False, overrides=Overrides({"a": 1}), disk=DiskSnapshot(tmp_path, "k")
    )
    assert client.value("a", 0) == 1
    assert client.value("b", "default") == "default"
    assert client.details("b").reason == "DISABLED"
    assert reported == []


def test_an_override_reports_no_exposure():
    reported: list[Exposure] = []
    client = make_client(reported=reported, overrides=Overrides({"a": True}))
    load(client, {"a": False}, a=(exposure("a"),))
    assert client.value("a", False) is True
    assert reported == []


def test_memory_is_authoritative_as_a_whole_over_the_disk(tmp_path):
    load(make_client(disk=DiskSnapshot(tmp_path, "k")), {"gone": 1, "kept": 1})
    client = make_client(disk=DiskSnapshot(tmp_path, "k"))
    assert (client.value("gone", 0), client.details("gone").reason) == (1, "CACHED")
    load(client, {"kept": 2})
    assert (client.value("gone", 0), client.value("kept", 0)) == (0, 2)
    restarted = make_client(disk=DiskSnapshot(tmp_path, "k"))
    assert (restarted.value("gone", 0), restarted.value("kept", 0)) == (0, 2)


@pytest.mark.parametrize(
    ("stored", "default", "expected"),
    [
        (None, True, None),
        (None, 3, None),
        (True, 1, 1),
        (1, True, True),
        (1, False, False),
        (3, 0.5, 3.0),
        (0.5, 3, 3),
        ("x", 1, 1),
        ([1], (), [1]),
        ([1], [], [1]),
        ({"a": 1}, {}, {"a": 1}),
        ({"a": 1}, [], []),
        (10**400, 0.5, 0.5),
        ("x", None, "x"),
        ([1], None, [1]),
    ],
)
def test_a_value_of_another_type_than_the_default_gives_the_default(stored, default, expected):
    client = make_client(overrides=Overrides({"named": stored}))
    load(client, {"fetched": stored})
    for name in ("fetched", "named"):
        found = client.value(name, default)
        assert found == expected
        assert type(found) is type(expected)
        assert client.value(name, default) == expected  # the second read takes the short way


def test_a_wrong_type_is_counted_and_named_in_the_details():
    client = make_client()
    load(client, {"a": "text"})
    assert client.value("a", 1) == 1
    assert client.reader.counts["type_mismatch"] == 1
    details = client.details("a", 1)
    assert (details.value, details.reason, details.error_code) == (1, "ERROR", "TYPE_MISMATCH")


def test_a_read_never_raises():
    client = make_client()
    load(client, {"a": 1})
    unhashable: str = ["a"]  # type: ignore[assignment]
    assert client.value(unhashable, "default") == "default"
    assert client.reader.counts["error"] == 1


def test_what_a_reader_does_to_a_list_is_its_own_affair():
    client = make_client()
    load(client, {"a": [1, {"b": 2}]})
    client.value("a", []).append("spoiled")
    client.value("a", [])[1].clear()
    assert client.value("a", []) == [1, {"b": 2}]


def test_details_say_when_there_was_no_data_yet():
    client = make_client()
    assert client.details("a").error_code == "PROVIDER_NOT_READY"
    load(client, {"b": 1})
    assert client.details("a").error_code == "FLAG_NOT_FOUND"


@pytest.mark.parametrize("text", ["{", "[1]", "7", "nonsense", '{"a":' * 5000])
def test_a_malformed_environment_override_is_ignored_with_one_warning(text, caplog):
    with caplog.at_level(logging.WARNING):
        assert read_environment({"BYLINE_FEATURES": text}) == {}
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "BYLINE_FEATURES" in caplog.text


def test_an_exposure_is_reported_once_per_feature_and_variation():
    reported: list[Exposure] = []
    client = make_client(reported=reported)
    load(client, {"a": 1, "b": 2}, a=(exposure("a", 0),))
    for _ in range(3):
        client.value("a", 0)
        client.value("b", 0)
    load(client, {"a": 1, "b": 3}, a=(exposure("a", 0),))
    client.value("a", 0)
    assert reported == [exposure("a", 0)]
    load(client, {"a": 2, "b": 3}, a=(exposure("a", 1),))
    client.value("a", 0)
    client.value("a", 0)
    assert reported == [exposure("a", 0), exposure("a", 1)]


def test_reads_before_there_is_data_are_reported_after_the_first_load():
    reported: list[Exposure] = []
    client = make_client(reported=reported)
    client.value("a", 0)
    client.value("plain", 0)
    assert reported == []
    load(client, {"a": 1, "plain": 1, "unread": 1}, a=(exposure("a"),), unread=(exposure("unread"),))
    assert reported == [exposure("a")]


def test_reads_served_from_the_disk_are_reported_at_once(tmp_path):
    load(make_client(disk=DiskSnapshot(tmp_path, "k")), {"a": 1}, a=(exposure("a"),))
    reported: list[Exposure] = []
    client = make_client(reported=reported, disk=DiskSnapshot(tmp_path, "k"))
    assert client.value("a", 0) == 1
    assert reported == [exposure("a")]


def test_names_remembered_before_data_are_bounded():
    client = make_client(reported=[])
    for number in range(5000):
        client.value(f"generated-{number}", 0)
    assert client._reader._exposures.dropped == 4000


def test_a_report_that_raises_doesnt_harm_the_read(caplog):
    def fail(_exposure: Exposure) -> None:
        raise RuntimeError

    client = FeatureClient(None, report=fail)
    load(client, {"a": 1}, a=(exposure("a"),))
    assert client.value("a", 0) == 1


def test_looking_at_details_reports_nothing():
    reported: list[Exposure] = []
    client = make_client(reported=reported)
    load(client, {"a": 1}, a=(exposure("a"),))
    client.details("a")
    assert reported == []
