from __future__ import annotations

import json

import pytest

import byline
from byline.runtime.child_env import GatewayAddress

GATEWAY = {"BYLINE_URL": "http://gateway:8787/", "BYLINE_KEY": "byl_x"}


def test_every_dialect_names_user_and_job():
    env = byline.child_env(user="ana", job="nightly 7", environ={"PATH": "/bin"})
    assert env == {
        "PATH": "/bin",
        "BYLINE_IDENTITY": '{"user": "ana", "job": "nightly 7"}',
        "CLAUDE_CODE_EXTRA_METADATA": '{"user": "ana", "job": "nightly 7"}',
        "OTEL_RESOURCE_ATTRIBUTES": "user=ana,job=nightly%207",
    }


def test_with_a_gateway_calls_go_there():
    env = byline.child_env(user="ana", job="7", environ=GATEWAY)
    assert env["ANTHROPIC_BASE_URL"] == env["BYLINE_URL"] == "http://gateway:8787"
    assert env["OPENAI_BASE_URL"] == "http://gateway:8787/v1"
    assert env["ANTHROPIC_API_KEY"] == env["OPENAI_API_KEY"] == env["ANTHROPIC_AUTH_TOKEN"] == "byl_x"
    assert env["ANTHROPIC_CUSTOM_HEADERS"] == "X-Byline-User: ana\nX-Byline-Job: 7"


def test_what_stands_there_already_stays():
    env = byline.child_env(
        user="ana",
        job="7",
        environ={
            **GATEWAY,
            "ANTHROPIC_CUSTOM_HEADERS": "A: b\nx-byline-job: old",
            "CLAUDE_CODE_EXTRA_METADATA": '{"team": "search", "job": "old"}',
            "OTEL_RESOURCE_ATTRIBUTES": "service.name=x,job=old",
        },
    )
    assert env["ANTHROPIC_CUSTOM_HEADERS"] == "A: b\nX-Byline-User: ana\nX-Byline-Job: 7"
    assert json.loads(env["CLAUDE_CODE_EXTRA_METADATA"]) == {"team": "search", "user": "ana", "job": "7"}
    assert env["OTEL_RESOURCE_ATTRIBUTES"] == "service.name=x,user=ana,job=7"


@pytest.mark.parametrize("present", ["[]", "{broken", "7"])
def test_metadata_that_is_no_object_gives_way(present):
    env = byline.child_env(user="ana", job="7", environ={"CLAUDE_CODE_EXTRA_METADATA": present})
    assert json.loads(env["CLAUDE_CODE_EXTRA_METADATA"]) == {"user": "ana", "job": "7"}


def test_what_is_not_given_comes_from_the_surroundings(monkeypatch):
    monkeypatch.setenv("BYLINE_IDENTITY", '{"user": "svc", "job": "chat"}')
    assert byline.child_env(job="7")["BYLINE_IDENTITY"] == '{"user": "svc", "job": "7"}'
    with byline.identify(user="ana"):
        assert byline.child_env(job="7")["BYLINE_IDENTITY"] == '{"user": "ana", "job": "7"}'
        assert byline.child_env()["BYLINE_IDENTITY"] == '{"user": "ana", "job": "chat"}'


@pytest.mark.parametrize("user", ["ana@example.com", "a\nX-Byline-Job: b", "byl_secret1"])
def test_names_that_cannot_be_sent_are_refused(user):
    with pytest.raises(ValueError, match="not sent"):
        byline.child_env(user=user, job="7")


def test_nobody_is_refused():
    with pytest.raises(ValueError, match="nobody is named"):
        byline.child_env()


def test_a_key_is_not_shown():
    assert "byl_x" not in repr(GatewayAddress("http://gateway", "byl_x"))
