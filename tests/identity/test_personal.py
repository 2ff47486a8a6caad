"""What a provider would refuse as personal data."""

from __future__ import annotations

import json
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from byline.control.ids import new_actor_id
from byline.identity.personal import looks_personal


@pytest.mark.parametrize(
    "text",
    [
        "alice@example.com", "a@b", "Alice <alice@example.com>", '{"user":"alice@example.com","job":"x"}',
        '{"user":"alice\\u0040example.com"}', "+1 555 123 4567", "+49 (0)89 1234567", "(555) 123-4567", "5551234567",
        "555-1234-567", "+14155552671", '{"user":"x","job":"+1 555 123 4567"}', "call 555 123 4567 now",
    ],
)  # fmt: skip
def test_emails_and_phone_numbers_are_recognised(text):
    assert looks_personal(text)


@pytest.mark.parametrize(
    "text",
    [
        "alice", "@alice", "team-a", "nightly-eval-1208", "nightly-2026-11-21", "build 12 of 40", "v1.2.3", "12345",
        "usr_234567234567234567234567ab", "550e8400-e29b-41d4-a716-446655440000", '{"user":"u1","job":"j-20261121"}',
        "0123456789abcdef0123456789abcdef", "1" * 21,
    ],
)  # fmt: skip
def test_names_ids_and_hashes_are_not(text):
    assert not looks_personal(text)


@given(st.uuids(version=4))
def test_no_uuid_is_personal(value: uuid.UUID):
    assert not looks_personal(str(value))
    assert not looks_personal(json.dumps({"session_id": str(value)}))


def test_no_actor_id_of_ours_is_personal():
    assert not any(looks_personal(new_actor_id()) for _ in range(2000))


@given(st.emails())
def test_every_email_is_recognised(address):
    assert looks_personal(address)
    assert looks_personal(json.dumps({"user": address}))
