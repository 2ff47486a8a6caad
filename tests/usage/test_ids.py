"""Ids are version 7 UUIDs (RFC 9562), sort by time and never repeat."""

from __future__ import annotations

import os
import uuid

import pytest

from byline.usage import ids
from byline.usage.ids import new_uuid7, new_uuid7_and_digits


@pytest.mark.parametrize("epoch_s", [0.0, 0.001, 1.8e9, 1_800_000_000.123, 2.0**38])
def test_an_id_is_a_version_7_uuid_of_its_millisecond(epoch_s: float) -> None:
    made = uuid.UUID(new_uuid7(epoch_s))
    assert (made.version, made.variant) == (7, uuid.RFC_4122)
    assert made.int >> 80 == int(epoch_s * 1000)


def test_the_digits_are_those_of_the_id() -> None:
    with_hyphens, digits = new_uuid7_and_digits(1.8e9)
    assert digits == with_hyphens.replace("-", "")
    assert len(with_hyphens) == 36


def test_ids_of_one_millisecond_differ_and_those_of_the_next_come_behind() -> None:
    first = {new_uuid7(1.8e9) for _ in range(10_000)}
    then = {new_uuid7(1.8e9 + 0.001) for _ in range(10_000)}
    assert len(first | then) == 20_000
    assert max(first) < min(then)
    assert new_uuid7(1.8e9)[:13] == min(first)[:13]


def test_one_millisecond_is_remembered_and_no_more() -> None:
    for number in range(100):
        new_uuid7(1.8e9 + number / 1000)
    assert len(ids._times) == 1  # pyright: ignore[reportPrivateUsage]


def test_all_of_the_random_bits_are_used() -> None:
    ones, zeros = 0, 0
    for _ in range(200):
        made = uuid.UUID(new_uuid7(0.0)).int
        ones, zeros = ones | made, zeros | ~made
    fixed = 0xF000_C000_0000_0000_0000
    assert ones & zeros & ((1 << 80) - 1) == ((1 << 80) - 1) & ~fixed


def test_two_children_make_ids_of_their_own() -> None:
    made: list[bytes] = []
    for _ in range(2):
        reader, writer = os.pipe()
        if not (child := os.fork()):
            os.write(writer, new_uuid7(1.8e9).encode())
            os._exit(0)
        os.waitpid(child, 0)
        made.append(os.read(reader, 100))
        os.close(reader)
        os.close(writer)
    assert len(set(made)) == 2
