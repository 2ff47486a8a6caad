"""Jobs: who is asked about which name."""

from __future__ import annotations

import pytest

from byline.control.actors import find_actor
from byline.control.jobs import list_jobs, owner_of, set_job
from byline.control.keys import create_key


def test_an_exact_name_beats_patterns_and_a_longer_pattern_a_shorter_one(database):
    for name, owner in (
        ("*", "ops"),
        ("nightly-*", "ann"),
        ("nightly-eval-*", "bea"),
        ("nightly-eval-7", "cy"),
    ):
        set_job(database, name, owner=owner)
    owners = {
        name: owner_of(database, name).username
        for name in ("nightly-eval-7", "nightly-eval-8", "nightly-x", "Nightly-x", "other")
    }
    assert owners == {
        "nightly-eval-7": "cy", "nightly-eval-8": "bea", "nightly-x": "ann", "Nightly-x": "ops", "other": "ops",
    }  # fmt: skip


def test_a_job_that_nothing_covers_has_no_owner(database):
    set_job(database, "nightly-*", owner="ann")
    assert owner_of(database, "weekly") is None


def test_a_pattern_written_as_a_job_name_owns_itself(database):
    set_job(database, "odd[1]", owner="ann")
    assert owner_of(database, "odd[1]").username == "ann"
    assert owner_of(database, "odd1").username == "ann"


def test_setting_again_changes_the_owner_and_keeps_the_description(database):
    set_job(database, "nightly", owner="ann", description="builds")
    again = set_job(database, "nightly", owner="bea")
    assert (again.owner.username, again.description) == ("bea", "builds")
    assert list_jobs(database) == [again]


def test_an_owner_who_has_a_key_is_the_same_actor(database):
    alice = create_key(database, "alice", email="a@example.com").info.actor
    assert set_job(database, "nightly", owner="alice").owner == alice


def test_an_unknown_owner_becomes_an_actor(database):
    set_job(database, "nightly", owner="zoe")
    assert find_actor(database, "zoe") is not None


def test_setting_a_job_is_counted_as_a_change(database):
    before = database.change_counter()
    set_job(database, "nightly", owner="ann")
    assert database.change_counter() == before + 1


def test_an_empty_name_is_refused(database):
    with pytest.raises(ValueError, match="job must not be empty"):
        set_job(database, "", owner="ann")
