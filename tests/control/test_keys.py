"""Keys: their form, their storage, their life."""

from __future__ import annotations

import re

import pytest

from byline.control.actors import find_actor
from byline.control.keys import (
    KEY_CHARS,
    KEY_PATTERN,
    UnknownKeyError,
    create_key,
    find_key,
    list_keys,
    note_last_uses,
    revoke_key,
    rotate_key,
    secret_hash,
    split_key,
)

DAY_S = 86_400.0


def test_a_key_is_recognisable_and_splits_into_id_and_secret(database):
    new = create_key(database, "alice")
    text = new.text.encode()
    assert re.fullmatch(r"byl_[a-z2-7]{12}_[A-Za-z0-9_-]{43}", new.text)
    assert len(text) == KEY_CHARS
    assert KEY_PATTERN.fullmatch(text)
    assert split_key(text) == (new.info.key_id, text[-43:])


@pytest.mark.parametrize(
    "presented",
    [
        b"",
        b"byl_",
        b"sk-ant-api03-x",
        b"byl_aaaaaaaaaaaa_" + b"s" * 42,
        b"byl_aaaaaaaaaaaa-" + b"s" * 43,
        b"\xff" * 60,
    ],
)
def test_what_has_not_the_form_of_a_key_does_not_split(presented):
    assert split_key(presented) is None


def test_the_secret_is_stored_as_a_hash_and_shown_by_nothing(path, database):
    new = create_key(database, "alice")
    secret = new.text[-43:]
    assert database.rows("SELECT secret_hash FROM keys") == [(secret_hash(secret.encode()),)]
    assert secret not in repr(new)
    assert secret not in repr(list_keys(database))
    files = b"".join(file.read_bytes() for file in path.parent.iterdir())
    assert secret.encode() not in files
    assert new.info.key_id.encode() in files


def test_a_user_keeps_the_id_when_email_and_team_change(database):
    first = create_key(database, "alice", email="a@example.com", team="core").info.actor
    second = create_key(database, "alice", email="alice@example.com", kind="service").info.actor
    assert re.fullmatch(r"usr_[a-z2-7]{26}", first.id)
    assert second.id == first.id
    assert (second.email, second.team, second.kind) == ("alice@example.com", "core", "service")
    assert find_actor(database, "alice") == second
    assert {info.actor for info in list_keys(database)} == {second}


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"username": ""}, "user name must not be empty"),
        ({"username": " alice"}, "begin or end with a space"),
        ({"username": "al\nice"}, "control characters"),
        ({"username": "a" * 201}, "201 characters; at most 200"),
        ({"username": "alice", "email": "alice"}, "'alice' is not an email address"),
        ({"username": "alice", "email": "a@b@c"}, "is not an email address"),
        ({"username": "alice", "team": "a\x00b"}, "team has control characters"),
        ({"username": "alice", "job": "j\u2028"}, "job"),
    ],
)
def test_names_that_nobody_could_read_are_refused_and_leave_nothing(database, fields, message):
    with pytest.raises(ValueError, match=message):
        create_key(database, **fields)
    assert list_keys(database) == []
    assert database.change_counter() == 0


def test_a_revoked_key_stays_listed_and_revoking_again_keeps_the_time(database, clock):
    key_id = create_key(database, "alice").info.key_id
    first = revoke_key(database, key_id)
    clock.at += 100
    assert revoke_key(database, key_id).revoked_at == first.revoked_at
    assert [info.status(clock.at) for info in list_keys(database)] == ["revoked"]


def test_a_key_is_found_by_its_id_with_or_without_the_prefix(database):
    key_id = create_key(database, "alice").info.key_id
    assert revoke_key(database, f"byl_{key_id}").key_id == key_id


def test_a_whole_key_stands_for_its_id_and_its_secret_is_not_repeated(database):
    new = create_key(database, "alice")
    assert find_key(database, new.text).key_id == new.info.key_id
    other = "byl_aaaaaaaaaaaa_" + "s" * 43
    for refuse in (find_key, revoke_key, rotate_key):
        with pytest.raises(UnknownKeyError, match=r"no key 'aaaaaaaaaaaa'\. "):
            refuse(database, other)


def test_an_unknown_key_id_is_named(database):
    with pytest.raises(UnknownKeyError, match=r"no key 'nope'.*byline keys list"):
        revoke_key(database, "nope")


def test_a_key_expires_at_its_time(database, clock):
    info = create_key(database, "alice", expires_at=clock.at + DAY_S).info
    assert info.status(clock.at + DAY_S - 1) == "active"
    assert info.status(clock.at + DAY_S) == "expired"


def test_rotation_hands_on_rights_and_lifetime_and_ends_the_old_key(database, clock):
    old = create_key(
        database,
        "alice",
        job="nightly",
        may_claim_job=False,
        may_claim_user=True,
        expires_at=clock.at + 90 * DAY_S,
    )
    clock.at += 80 * DAY_S
    new = rotate_key(database, old.info.key_id)
    assert new.text != old.text
    assert new.info.actor == old.info.actor
    assert (new.info.job, new.info.may_claim_job, new.info.may_claim_user) == ("nightly", False, True)
    assert new.info.expires_at == clock.at + 90 * DAY_S
    listed = {info.key_id: info for info in list_keys(database)}
    assert listed[old.info.key_id].status(clock.at) == "revoked"
    assert listed[old.info.key_id].replaced_by == new.info.key_id
    assert listed[new.info.key_id].status(clock.at) == "active"


def test_the_old_key_works_through_the_grace_but_never_past_its_own_end(database, clock):
    plain = create_key(database, "alice").info.key_id
    ending = create_key(database, "alice", expires_at=clock.at + 10).info.key_id
    for key_id in (plain, ending):
        rotate_key(database, key_id, grace_s=3600)
    listed = {info.key_id: info for info in list_keys(database)}
    assert listed[plain].expires_at == clock.at + 3600
    assert listed[plain].status(clock.at + 3599) == "active"
    assert listed[ending].expires_at == clock.at + 10


def test_an_ended_or_already_rotated_key_is_not_rotated(database, clock):
    revoked = create_key(database, "alice").info.key_id
    revoke_key(database, revoked)
    with pytest.raises(ValueError, match=r"is revoked\. Make a new one"):
        rotate_key(database, revoked)
    expired = create_key(database, "alice", expires_at=clock.at).info.key_id
    with pytest.raises(ValueError, match="is expired"):
        rotate_key(database, expired)
    rotated = create_key(database, "alice").info.key_id
    successor = rotate_key(database, rotated, grace_s=60).info.key_id
    with pytest.raises(ValueError, match=f"Rotate its successor {successor}"):
        rotate_key(database, rotated, grace_s=60)


def test_notes_of_last_use_keep_the_latest_and_are_no_change(database):
    key_id = create_key(database, "alice").info.key_id
    before = database.change_counter()
    for at in (50.0, 70.0, 60.0):
        with database.unannounced_change() as connection:
            note_last_uses(connection, [(key_id, at), ("gone", at)])
    assert [info.last_used_at for info in list_keys(database)] == [70.0]
    assert database.change_counter() == before
