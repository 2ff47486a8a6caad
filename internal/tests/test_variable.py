"""The internal variable in a checkout that is told to be internal, and in one that isn't."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest

from byline.testing import SimulatedProvider

VALUE = '{"job":"1208",  "user": "oracle", "shard": 3}'
ASK = """
import anthropic, byline, json, sys
message = dict(model="claude-sonnet-4-6", max_tokens=9, messages=[{"role": "user", "content": "hi"}])
client = byline.instrument(anthropic.Anthropic(api_key="k", max_retries=0))
client.messages.create(**message)
"""


@pytest.fixture
def provider():
    with SimulatedProvider() as simulated:
        yield simulated


def run(provider: SimulatedProvider, program: str, build: str = "internal", **variables: str) -> str:
    environ = {"PATH": os.environ["PATH"], "ANTHROPIC_BASE_URL": provider.base_url, "BYLINE_BUILD": build}
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, env=environ | variables, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stderr


def sent(provider: SimulatedProvider) -> list[Any]:
    return [seen.identity for seen in provider.requests]


def test_it_is_sent_as_it_is_written(provider):
    assert run(provider, ASK, ANT_ONLY_METADATA_USER_ID=VALUE) == ""
    assert sent(provider) == [VALUE]


def test_a_checkout_is_public_unless_told_otherwise(provider):
    run(provider, ASK, build="", ANT_ONLY_METADATA_USER_ID=VALUE)
    assert sent(provider) == [None]


def test_it_counts_before_the_public_variable_and_behind_the_program(provider):
    program = ASK + (
        "with byline.identify(user='ana', job='7'): client.messages.create(**message)\n"
        "client.messages.create(**message, metadata={'user_id': 'named'})\n"
    )
    public = '{"user": "somebody", "job": "else"}'
    run(provider, program, ANT_ONLY_METADATA_USER_ID=VALUE, BYLINE_IDENTITY=public)
    assert sent(provider) == [VALUE, '{"user":"ana","job":"7"}', "named"]


def test_it_is_read_at_each_call(provider):
    program = ASK + (
        "import os\n"
        "os.environ['ANT_ONLY_METADATA_USER_ID'] = 'plain-oracle'\n"
        "client.messages.create(**message)\n"
    )
    run(provider, program, ANT_ONLY_METADATA_USER_ID=VALUE)
    assert sent(provider) == [VALUE, "plain-oracle"]


@pytest.mark.parametrize(
    "value", ["{}", '{"user": "a"}', '{"user": "a", "job": 1208}', "[1]", "1208", "true", "null"]
)
def test_other_json_is_warned_of_once(provider, value):
    said = run(provider, ASK + "client.messages.create(**message)\n", ANT_ONLY_METADATA_USER_ID=value)
    expected = 'ANT_ONLY_METADATA_USER_ID has invalid format. Expected JSON: {"user": "...", "job": "..."}\n'
    assert said == expected
    assert sent(provider) == [None, None]


@pytest.mark.parametrize(
    ("value", "rule"),
    [
        ("a\nb", "control characters"),
        ("x" * 257, "256 are allowed"),
        ("ana@example.com", "email address"),
        ("sk-ant-api03-12345678", "key or token"),
    ],
)
def test_what_must_not_be_sent_is_warned_of_by_its_rule(provider, value, rule):
    said = run(provider, ASK, ANT_ONLY_METADATA_USER_ID=value, BYLINE_IDENTITY="hidden")
    assert rule in said
    assert value not in said
    assert said.count("\n") == 1
    assert sent(provider) == [None]


def test_a_program_with_warnings_as_errors_still_runs(provider):
    run(provider, ASK, ANT_ONLY_METADATA_USER_ID="[]", PYTHONWARNINGS="error")
    assert len(sent(provider)) == 1


def test_the_launcher_sets_it(tmp_path):
    environ = {"PATH": os.environ["PATH"], "BYLINE_BUILD": "internal", "BYLINE_DATA_DIR": str(tmp_path)}
    command = [sys.executable, "-m", "byline.cli", "run", "--user", "ana", "--job", "7"]
    printed = subprocess.check_output([*command, "--print-env", "--format", "json"], env=environ)
    variables = json.loads(printed)
    assert json.loads(variables["ANT_ONLY_METADATA_USER_ID"]) == {"user": "ana", "job": "7"}
    assert variables["ANT_ONLY_METADATA_USER_ID"] == variables["BYLINE_IDENTITY"]
