"""The environment that makes a child process act for a user and a job: `byline.child_env`.

Speaks every dialect: our own variables, those that Claude Code and the official SDKs read, and
OpenTelemetry's. What other things stand in these variables stays.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, cast
from urllib.parse import quote

from byline.identity.environment import (
    CarriedIdentity,
    IdentityRefused,
    check_sendable,
    max_length,
    variables,
)
from byline.runtime.current import current_identity
from byline.runtime.recording import KEY_VARIABLE, URL_VARIABLE

EXTRA_METADATA: Final = "CLAUDE_CODE_EXTRA_METADATA"
CUSTOM_HEADERS: Final = "ANTHROPIC_CUSTOM_HEADERS"
RESOURCE_ATTRIBUTES: Final = "OTEL_RESOURCE_ATTRIBUTES"
_OUR_HEADERS: Final = ("x-byline-user", "x-byline-job")


@dataclass(frozen=True, slots=True)
class GatewayAddress:
    """Where a program's calls go, and the Byline key they go with."""

    url: str
    """Without a path: `http://127.0.0.1:8787`."""
    key: str = field(repr=False)


def child_env(
    *, user: str | None = None, job: str | None = None, environ: Mapping[str, str] | None = None
) -> dict[str, str]:
    """A whole environment for a child process: `environ` (or this process's own) with the identity added.

    What isn't given is taken from `byline.identify` or the environment. Where BYLINE_URL and BYLINE_KEY
    are set, the child's calls go to that gateway. Raises ValueError for a name that can't be sent.
    """
    base = os.environ if environ is None else environ
    return {**base, **identity_variables(name_identity(user, job), base, gateway_from(base))}


def name_identity(user: str | None, job: str | None) -> CarriedIdentity:
    """Raises ValueError, with the rule, for a name that providers or headers would not take."""
    inherited = current_identity()
    for name, value in (("user", user), ("job", job)):
        if value is not None:
            check_sendable(f"{name} {value!r}" if len(value) < 80 else name, value)
    user = user or (inherited.user if inherited else None)
    job = job or (inherited.job if inherited else None)
    if not user and not job:
        raise ValueError("nobody is named: give a user, a job, or both")
    members = {name: value for name, value in (("user", user), ("job", job)) if value}
    text = json.dumps(members, ensure_ascii=False)
    if len(text) > max_length(os.environ):
        raise IdentityRefused("user and job together are too long to be sent; choose shorter names")
    return CarriedIdentity(text, user, job)


def gateway_from(environ: Mapping[str, str]) -> GatewayAddress | None:
    url, key = environ.get(URL_VARIABLE), environ.get(KEY_VARIABLE)
    return GatewayAddress(url.rstrip("/"), key) if url and key else None


def identity_variables(
    identity: CarriedIdentity, environ: Mapping[str, str], gateway: GatewayAddress | None
) -> dict[str, str]:
    """The variables that differ from `environ`'s."""
    changed = {
        EXTRA_METADATA: _extra_metadata(identity, environ.get(EXTRA_METADATA, "")),
        RESOURCE_ATTRIBUTES: _resource_attributes(identity, environ.get(RESOURCE_ATTRIBUTES, "")),
    }
    if identity.user and identity.job:
        changed |= dict.fromkeys(variables(), identity.text)
    else:
        # The documents need both names, so half an identity travels as headers and metadata alone.
        changed |= {name: "" for name in variables() if environ.get(name)}
    if gateway is not None:
        changed |= _gateway_variables(gateway)
        changed[CUSTOM_HEADERS] = _custom_headers(identity, environ.get(CUSTOM_HEADERS, ""))
    return changed


def _gateway_variables(gateway: GatewayAddress) -> dict[str, str]:
    openai_url = f"{gateway.url}/v1"
    return {
        URL_VARIABLE: gateway.url,
        KEY_VARIABLE: gateway.key,
        "ANTHROPIC_BASE_URL": gateway.url,
        "ANTHROPIC_API_KEY": gateway.key,
        "ANTHROPIC_AUTH_TOKEN": gateway.key,
        "OPENAI_BASE_URL": openai_url,
        "OPENAI_API_KEY": gateway.key,
        "OPENAI_API_BASE": openai_url,  # what LiteLLM and older programs read
    }


def _extra_metadata(identity: CarriedIdentity, present: str) -> str:
    """Claude Code puts these members before its own in `metadata.user_id`."""
    try:
        document: object = json.loads(present) if present else {}
    except ValueError:
        document = {}
    members = cast("dict[str, object]", document) if isinstance(document, dict) else {}
    ours = {name: value for name, value in (("user", identity.user), ("job", identity.job)) if value}
    return json.dumps({**members, **ours}, ensure_ascii=False)


def _custom_headers(identity: CarriedIdentity, present: str) -> str:
    kept = [
        line
        for line in present.splitlines()
        if line.strip() and line.partition(":")[0].strip().lower() not in _OUR_HEADERS
    ]
    ours = {"X-Byline-User": identity.user, "X-Byline-Job": identity.job}
    return "\n".join(
        [*kept, *(f"{name}: {value}" for name, value in ours.items() if value and value.isascii())]
    )


def _resource_attributes(identity: CarriedIdentity, present: str) -> str:
    ours = {name: value for name, value in (("user", identity.user), ("job", identity.job)) if value}
    kept = [
        pair for pair in present.split(",") if pair.strip() and pair.partition("=")[0].strip() not in ours
    ]
    return ",".join([*kept, *(f"{name}={quote(value, safe='')}" for name, value in ours.items())])
