"""What `byline run` knows of the programs it starts: what they need beside the environment, and
which of them would lose it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePath
from typing import Final

from byline.runtime.child_env import GatewayAddress

_FRESH_ENVIRONMENT: Final = {
    "docker": "pass the variables with `docker run --env-file` (`byline run --print-env`)",
    "podman": "pass the variables with `podman run --env-file` (`byline run --print-env`)",
    "kubectl": "put the variables into the pod's environment",
    "ssh": "start `byline run` on the other machine instead",
    "sudo": "start `byline run` behind sudo instead",
    "su": "start `byline run` behind su instead",
}
_NO_OWN_IDENTITY: Final = ("aider", "codex", "gemini", "llm", "opencode")
"""Agents that tell the provider nothing about their user."""
_OTHER_CLOUDS: Final = ("CLAUDE_CODE_USE_BEDROCK", "CLAUDE_CODE_USE_VERTEX", "CLAUDE_CODE_USE_FOUNDRY")


def name_of(command: Sequence[str]) -> str:
    return PurePath(command[0]).name


def adapt(
    command: list[str], environ: dict[str, str], gateway: GatewayAddress | None
) -> tuple[list[str], dict[str, str]]:
    """The command and environment as this very program wants them."""
    if gateway is None:
        return command, environ
    if name_of(command) == "claude":
        # With both set it warns of a conflict in each session.
        environ = {name: value for name, value in environ.items() if name != "ANTHROPIC_API_KEY"}
    elif name_of(command) == "codex":
        command = [command[0], *_codex_options(environ, gateway), *command[1:]]
    return command, environ


def _codex_options(environ: Mapping[str, str], gateway: GatewayAddress) -> Iterator[str]:
    """Codex reads providers from its configuration alone. The key stays in the environment."""
    identity: dict[str, str] = json.loads(environ["CLAUDE_CODE_EXTRA_METADATA"])
    headers = [("X-Byline-User", identity.get("user")), ("X-Byline-Job", identity.get("job"))]
    named = ", ".join(f'"{name}" = {json.dumps(value)}' for name, value in headers if value)
    provider = (
        f'{{ name = "Byline", base_url = {json.dumps(f"{gateway.url}/v1")}, wire_api = "responses",'
        f' env_key = "BYLINE_KEY", http_headers = {{ {named} }} }}'
    )
    for setting in (f"model_providers.byline={provider}", 'model_provider="byline"'):
        yield "-c"
        yield setting


def warnings_about(command: Sequence[str], environ: Mapping[str, str], *, has_gateway: bool) -> Iterator[str]:
    """Why this command won't carry the identity, as far as that can be known before it runs."""
    name = name_of(command)
    if name in _FRESH_ENVIRONMENT:
        yield f"{name} starts programs with an environment of their own: {_FRESH_ENVIRONMENT[name]}"
    elif name == "env" and any(option in command for option in ("-i", "-", "--ignore-environment")):
        yield "`env -i` empties the environment: the program won't carry the identity"
    elif name == "gemini":
        yield "gemini speaks an API that has no field for an identity, and that the gateway doesn't serve"
    elif name in _NO_OWN_IDENTITY and not has_gateway:
        yield f"{name} names no user to its provider. Set BYLINE_URL and BYLINE_KEY to send it through a gateway"
    elif name == "claude" and has_gateway and (cloud := _other_cloud(environ)):
        yield f"{cloud} is set, so Claude Code calls that cloud and not the gateway; the identity is sent there"
    elif name not in ("claude", *_NO_OWN_IDENTITY) and not has_gateway:
        yield (
            f"{name} carries the identity only if it uses byline.instrument or starts Claude Code;"
            " set BYLINE_URL and BYLINE_KEY to send its calls through a gateway"
        )


def _other_cloud(environ: Mapping[str, str]) -> str | None:
    return next((name for name in _OTHER_CLOUDS if environ.get(name)), None)
