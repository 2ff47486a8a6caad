from __future__ import annotations

from enum import IntEnum, StrEnum
from types import MappingProxyType

import pytest

from byline.telemetry import metadata
from byline.telemetry.metadata import add_pii, check_key, has_huge_numbers, safe_copy, strip_pii
from byline.telemetry.queue import EventQueue
from byline.telemetry.verified import (
    UnsafeMetadata,
    i_verified_this_is_not_code_or_filepaths,
    i_verified_this_is_pii_tagged,
    not_code_or_path,
)

SECRET = "what nobody may see"


class Color(StrEnum):
    RED = "red"


class Status(IntEnum):
    OK = 200


class Loud(float):
    def __repr__(self) -> str:
        return SECRET


class Recorder:
    def __init__(self):
        self.seen = []

    def log_event(self, name, metadata):
        self.seen.append(dict(metadata))

    log_event_async = log_event


@pytest.fixture
def queue():
    made = EventQueue(linger_s=0)
    yield made
    made.close()


@pytest.mark.parametrize(
    "value",
    [
        SECRET,
        "",
        Color.RED,
        b"bytes",
        [1],
        {"a": 1},
        (1,),
        {1},
        object(),
        ValueError(SECRET),
        1j,
        i_verified_this_is_pii_tagged(SECRET),
    ],
)
def test_what_is_no_number_truth_value_or_verified_string_is_refused_without_its_value(value):
    with pytest.raises(UnsafeMetadata, match="field") as refused:
        safe_copy({"field": value})
    assert SECRET not in str(refused.value)


def test_a_refusal_brings_no_key_along(queue):
    for unsafe in ({"/home/ada/secret.py": 1}, {"a_new_key": SECRET}, {"n": 1, "b" * 65: 1}):
        with pytest.raises(UnsafeMetadata) as refused:
            queue.log_event("step", unsafe)
        assert (refused.value.__context__, refused.value.__cause__) == (None, None)


def test_keys_of_derived_types_are_checked_and_not_kept(queue):
    class Key(str):
        __slots__ = ()

    before = len(metadata.USUAL_TYPES)
    for number in range(50):
        queue.log_event("step", {Key("kept_as_text"): number})
        queue.log_event("step", {Key("kept_as_text"): None})
    assert len(metadata.USUAL_TYPES) == before
    with pytest.raises(UnsafeMetadata):
        queue.log_event("step", {Key("kept_as_text"): SECRET})


def test_numbers_of_derived_types_become_plain_ones():
    copied = safe_copy({"status": Status.OK, "loud": Loud(1.5), "on": True, "none": None})
    assert [type(value) for value in copied.values()] == [int, float, bool, type(None)]


@pytest.mark.parametrize("key", ["", "a b", SECRET, "/etc", "1a", "é", "a" * 65, "a\n", "_PROTO_email", "_x"])
def test_keys_are_identifiers_and_an_unfit_one_is_not_repeated(key):
    with pytest.raises(UnsafeMetadata) as refused:
        safe_copy({key: 1})
    assert SECRET not in str(refused.value)


def test_a_general_mapping_with_a_proto_key_is_refused_whatever_its_value():
    with pytest.raises(UnsafeMetadata, match="pii mapping"):
        safe_copy({"_PROTO_email": not_code_or_path("ada")})


def test_a_key_that_is_no_string_is_refused():
    with pytest.raises(UnsafeMetadata, match="int"):
        safe_copy({1: 1})  # type: ignore[dict-item]


def test_a_key_whose_values_were_good_is_no_excuse_for_a_bad_one(queue):
    for good in (1, not_code_or_path("a"), None, 2.5, True):
        queue.log_event("step", {"n": 1, "taken_often": good})
        for bad in (SECRET, Color.RED, b"bytes", i_verified_this_is_pii_tagged("a"), 2j):
            with pytest.raises(UnsafeMetadata, match="taken_often"):
                queue.log_event("step", {"n": 1, "taken_often": bad})


def test_numbers_of_derived_types_become_plain_ones_each_time(queue):
    recorder = Recorder()
    for _ in range(3):
        queue.log_event("step", {"status": 200, "level": 1.0})
        queue.log_event("step", {"status": Status.OK, "level": Loud(1.0)})
    queue.attach(recorder)
    assert queue.flush(10)
    assert [type(value) for values in recorder.seen for value in values.values()] == [int, float] * 6


def test_a_process_has_a_bounded_number_of_names(monkeypatch):
    monkeypatch.setattr(metadata, "KNOWN_NAMES", {f"n{number}" for number in range(4096)})
    check_key("n7")
    with pytest.raises(UnsafeMetadata, match="different names"):
        check_key("one_more")


def test_personal_values_come_under_proto_keys_with_or_without_prefix():
    values = safe_copy({"n": 1})
    add_pii(
        values,
        {
            "email": i_verified_this_is_pii_tagged("a"),
            "_PROTO_path": i_verified_this_is_pii_tagged("b"),
            "no": None,
        },
    )
    assert values == {"n": 1, "_PROTO_email": "a", "_PROTO_path": "b"}


@pytest.mark.parametrize("value", ["plain", i_verified_this_is_not_code_or_filepaths("verified"), 1])
def test_only_tagged_strings_are_personal_values(value):
    with pytest.raises(UnsafeMetadata, match="i_verified_this_is_pii_tagged"):
        add_pii({}, {"email": value})


def test_stripping_gives_back_the_very_same_object_when_there_is_nothing_to_strip():
    for clean in ({"a": 1}, MappingProxyType({"a": 1}), {}):
        assert strip_pii(clean) is clean


def test_stripping_does_not_change_its_input():
    full = {"a": 1, "_PROTO_email": "x", "b": 2}
    assert strip_pii(full) == {"a": 1, "b": 2}
    assert full == {"a": 1, "_PROTO_email": "x", "b": 2}


def test_a_mapping_changed_after_it_was_checked_changes_nothing():
    given = {"a": 1}
    copied = safe_copy(given)
    given["a"] = SECRET  # type: ignore[assignment]
    assert copied == {"a": 1}


def test_integers_that_could_hold_a_text_are_found():
    assert has_huge_numbers({"n": int.from_bytes(SECRET.encode())})
    assert not has_huge_numbers({"n": 2**63 - 1, "m": -(2**63), "x": 1e300})
