"""`byline run`: the program it starts is itself, with an identity."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from byline.cli.launching import adapt, warnings_about
from byline.runtime.child_env import GatewayAddress

BYLINE = [sys.executable, "-m", "byline.cli"]
SHOW = [sys.executable, "-c", "import json, os; print(json.dumps(dict(os.environ)))"]


def environ(tmp_path: Path, **more: str) -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "BYLINE_DATA_DIR": str(tmp_path / "data"), **more}


def run(tmp_path: Path, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    command = [*BYLINE, "run", *arguments]
    return subprocess.run(
        command, env=environ(tmp_path, **more), cwd=tmp_path, capture_output=True, text=True, timeout=60
    )


def test_the_program_finds_its_identity_and_the_gateway(tmp_path):
    done = run(
        tmp_path, "--user", "ana", "--job", "7", "--", *SHOW, BYLINE_KEY="byl_x", BYLINE_GATEWAY__PORT="9"
    )
    env = json.loads(done.stdout)
    assert done.stderr == ""
    assert env["BYLINE_IDENTITY"] == '{"user": "ana", "job": "7"}'
    assert env["ANTHROPIC_BASE_URL"] == "http://127.0.0.1:9"
    assert env["OPENAI_API_KEY"] == "byl_x"


def test_address_and_key_may_stand_in_the_configuration(tmp_path):
    (tmp_path / "key").write_text("byl_y\n")
    (tmp_path / "byline.toml").write_text('[client]\nurl = "https://byline.example"\nkey_file = "key"\n')
    env = json.loads(run(tmp_path, "--job", "7", "--", *SHOW).stdout)
    assert (env["OPENAI_BASE_URL"], env["BYLINE_KEY"]) == ("https://byline.example/v1", "byl_y")


def test_without_a_gateway_it_says_what_carries_the_identity(tmp_path):
    done = run(tmp_path, "--job", "7", "--", *SHOW)
    assert "byline.instrument" in done.stderr
    assert "ANTHROPIC_BASE_URL" not in json.loads(done.stdout)


@pytest.mark.parametrize("code", [0, 3])
def test_exit_codes_pass_through(tmp_path, code):
    assert run(tmp_path, "--job", "7", "--", "sh", "-c", f"exit {code}").returncode == code


def test_a_program_ended_by_a_signal_ends_by_it(tmp_path):
    assert run(tmp_path, "--job", "7", "--", "sh", "-c", "kill -TERM $$").returncode == -signal.SIGTERM


def test_signals_reach_the_program_itself(tmp_path):
    program = "trap 'echo caught; exit 5' TERM; echo ready; while :; do sleep 0.05; done"
    command = [*BYLINE, "run", "--job", "7", "--", "sh", "-c", program]
    with subprocess.Popen(
        command, env=environ(tmp_path), cwd=tmp_path, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline() == "ready\n"
        process.terminate()
        assert process.stdout.read() == "caught\n"
    assert process.returncode == 5


def test_python_does_not_leave_its_signal_habits_behind(tmp_path):
    check = ["sh", "-c", "grep SigIgn /proc/self/status"]
    plain = subprocess.run(check, capture_output=True, text=True, restore_signals=True)
    assert run(tmp_path, "--job", "7", "--", *check).stdout == plain.stdout


def test_a_terminal_stays_a_terminal(tmp_path):
    leader, follower = pty.openpty()
    command = [*BYLINE, "run", "--job", "7", "--", "sh", "-c", "test -t 0 && test -t 1 && echo terminal"]
    done = subprocess.run(
        command, env=environ(tmp_path), cwd=tmp_path, stdin=follower, stdout=follower, timeout=60
    )
    os.close(follower)
    assert done.returncode == 0
    assert b"terminal" in os.read(leader, 1000)
    os.close(leader)


def test_options_behind_the_command_are_the_commands(tmp_path):
    done = run(tmp_path, "--job", "7", "echo", "--job", "8", "--help")
    assert done.stdout == "--job 8 --help\n"


def test_a_missing_program_is_named(tmp_path):
    done = run(tmp_path, "--job", "7", "--", "no-such-program")
    assert (done.returncode, "no-such-program: command not found" in done.stderr) == (127, True)


@pytest.mark.parametrize("arguments", [[], ["--job", "7"], ["--print-env", "--job", "7", "--", "ls"]])
def test_a_command_or_the_variables_not_both(tmp_path, arguments):
    assert run(tmp_path, *arguments).returncode == 2


def test_a_name_that_cannot_be_sent_starts_nothing(tmp_path):
    done = run(tmp_path, "--user", "ana@example.com", "--", "touch", "started")
    assert (done.returncode, (tmp_path / "started").exists()) == (1, False)
    assert "email address" in done.stderr


def test_a_shell_takes_the_variables_over(tmp_path):
    printed = run(tmp_path, "--user", "ana", "--job", "it's; $HOME", "--print-env").stdout
    shell = subprocess.run(
        ["sh", "-c", printed + 'printf %s "$BYLINE_IDENTITY"'], capture_output=True, text=True, check=True
    )
    assert json.loads(shell.stdout) == {"user": "ana", "job": "it's; $HOME"}


GATEWAY = GatewayAddress("http://gateway:8787", "byl_x")


def test_codex_gets_a_provider_of_its_own():
    env = {"CLAUDE_CODE_EXTRA_METADATA": '{"user": "ana", "job": "7"}'}
    command, _ = adapt(["/bin/codex", "exec", "hi"], env, GATEWAY)
    assert command[0] == "/bin/codex"
    assert command[-2:] == ["exec", "hi"]
    assert 'http_headers = { "X-Byline-User" = "ana", "X-Byline-Job" = "7" }' in command[2]
    assert 'base_url = "http://gateway:8787/v1"' in command[2]
    assert "byl_x" not in " ".join(command)


def test_claude_code_gets_one_credential():
    env = {"ANTHROPIC_API_KEY": "byl_x", "ANTHROPIC_AUTH_TOKEN": "byl_x"}
    assert adapt(["claude"], env, GATEWAY) == (["claude"], {"ANTHROPIC_AUTH_TOKEN": "byl_x"})


@pytest.mark.parametrize(
    ("command", "env", "has_gateway", "warning"),
    [
        (["claude"], {}, False, None),
        (["claude"], {}, True, None),
        (["python", "x.py"], {}, True, None),
        (["python", "x.py"], {}, False, "byline.instrument"),
        (["codex"], {}, True, None),
        (["/usr/bin/codex"], {}, False, "names no user"),
        (["gemini"], {}, True, "no field"),
        (["sudo", "make"], {}, True, "behind sudo"),
        (["env", "-i", "make"], {}, True, "empties"),
        (["claude"], {"CLAUDE_CODE_USE_BEDROCK": "1"}, True, "CLAUDE_CODE_USE_BEDROCK"),
    ],
)
def test_what_would_lose_the_identity_is_said(command, env, has_gateway, warning):
    said = list(warnings_about(command, env, has_gateway=has_gateway))
    assert [warning in line for line in said] == ([] if warning is None else [True])
