from __future__ import annotations

import pytest

from byline.identity.environment import (
    CarriedIdentity,
    IdentityRefused,
    max_length,
    parse_identity,
    read_identity,
)


def read(text: str, **more: str) -> CarriedIdentity | None:
    return read_identity({"BYLINE_IDENTITY": text} | more)


@pytest.mark.parametrize("environ", [{}, {"BYLINE_IDENTITY": ""}, {"BYLINE_IDENTITY": "  "}])
def test_unset_and_empty_mean_nothing(environ):
    assert read_identity(environ) is None


@pytest.mark.parametrize(
    "text",
    [
        '{"user":"ana","job":"nightly-1208"}',
        '{ "job": "1208",  "user": "ana", "shard": 3, "nested": {"a": [1]} }',
        '{"user":"","job":""}',
    ],
)
def test_an_object_with_both_names_is_kept_as_it_is_written(text):
    assert read(text).text == text


def test_the_names_are_read():
    identity = read('{"user": "ana", "job": "1208"}')
    assert (identity.user, identity.job) == ("ana", "1208")


@pytest.mark.parametrize("text", ["ana", "oracle-bot", "nightly 7", "{broken", "NaN", "Infinity", "'x'"])
def test_what_is_no_json_is_a_plain_name(text):
    assert read(text) == CarriedIdentity(text)


@pytest.mark.parametrize(
    "text",
    [
        "{}",
        '{"user": "ana"}',
        '{"job": "nightly"}',
        '{"user": "ana", "job": 1208}',
        '{"user": null, "job": "nightly"}',
        '["ana", "nightly"]',
        "1208",
        "1e999",
        "true",
        "null",
        '"ana"',
    ],
)
def test_other_json_is_refused_with_the_form_to_write(text):
    with pytest.raises(IdentityRefused) as refused:
        read(text)
    expected = 'BYLINE_IDENTITY has invalid format. Expected JSON: {"user": "...", "job": "..."}'
    assert str(refused.value) == expected


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("ana\n", "control characters"),
        ("a\x1b[31mna", "control characters"),
        ('{"user": "a\\u0007", "job": "j"}', "control characters"),
        ("x" * 257, "257 characters where 256 are allowed"),
        ("ana@example.com", "email address"),
        ('{"user": "ana@example.com", "job": "j"}', "email address"),
        ('{"user": "ana\\u0040example.com", "job": "j"}', "email address"),
        ("sk-ant-api03-abcdefgh", "key or token"),
        ('{"user": "ana", "job": "byl_k1_abcdef"}', "key or token"),
        ("eyJhbGciOiJI.eyJzdWIiOiIx.sig", "key or token"),
    ],
)
def test_what_must_not_be_sent_is_refused_by_its_rule_and_never_quoted(text, rule):
    with pytest.raises(IdentityRefused) as refused:
        read(text)
    assert rule in str(refused.value)
    assert text not in str(refused.value)


@pytest.mark.parametrize("job", ["task-evaluations", "desk-12345678", "risk-ana", "nightly-1208-mu-g-18x"])
def test_ordinary_names_are_not_taken_for_keys(job):
    assert parse_identity("V", f'{{"user": "ana", "job": "{job}"}}').job == job


@pytest.mark.parametrize(
    ("setting", "allowed"), [("", 256), ("400", 400), ("9999", 512), ("many", 256), ("9" * 5000, 256)]
)
def test_the_longest_value_is_a_setting_with_an_end(setting, allowed):
    environ = {"BYLINE_IDENTITY__MAX_LENGTH": setting}
    assert max_length(environ) == allowed
    assert read("x" * allowed, **environ) is not None
    with pytest.raises(IdentityRefused):
        read("x" * (allowed + 1), **environ)
