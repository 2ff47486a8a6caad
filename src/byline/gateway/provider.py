"""A provider as the gateway knows it: where it is, which key pays, how identity is stamped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from byline.apis.api import Family
from byline.gateway.refusals import Refused
from byline.gateway.upstream.pool import UpstreamPool
from byline.identity.identifier import IdentityPolicy
from byline.identity.model import Actor, Grant

CLIENT_CREDENTIAL = "client"
"""The name that rows carry where the client's own credential paid."""


class Credential(msgspec.Struct, frozen=True):
    """One key of ours at a provider. `header_line` is secret; the name is what rows carry."""

    name: str
    header_line: bytes
    missing_env: str = ""
    """Set where the environment variable that should hold the key is empty."""

    def __repr__(self) -> str:
        return f"Credential({self.name!r})"


class CredentialChoice(msgspec.Struct, frozen=True):
    """Which key or team uses which credential: key id, then user, then team, then `default`."""

    by_key: Mapping[str, Credential]
    by_user: Mapping[str, Credential]
    by_team: Mapping[str, Credential]
    default: Credential

    def pick(self, grant: Grant, subject: Actor) -> Credential:
        return (
            self.by_key.get(grant.key_id or "")
            or self.by_user.get(subject.username)
            or self.by_team.get(subject.team or "")
            or self.default
        )


class Provider(msgspec.Struct, frozen=True):
    name: str
    family: Family
    path_prefix: str
    pool: UpstreamPool
    credentials: CredentialChoice
    policy: IdentityPolicy
    client_credential_policy: IdentityPolicy
    allow_paths: Sequence[str] = ()
    ask_for_usage: bool = True
    forward_traceparent: bool = False
    forward_organization: bool = False

    def credential_for(self, grant: Grant, subject: Actor) -> Credential:
        """Raises Refused where the operator's key is not in the environment."""
        credential = self.credentials.pick(grant, subject)
        if credential.missing_env:
            message = (
                f"the gateway has no key for {self.name}: its operator must set {credential.missing_env}, "
                "or the request must bring its own key beside X-Byline-Key"
            )
            raise Refused(503, "no_credential", message)
        return credential


def credential_line(family: Family, secret: str, auth: str = "auto") -> bytes:
    """`auto`: Anthropic API keys go in `x-api-key`; OAuth tokens and OpenAI keys are bearer tokens."""
    bearer = family == "openai" or secret.startswith("sk-ant-oat")
    if auth == "bearer" or (auth == "auto" and bearer):
        return f"Authorization: Bearer {secret}".encode("latin-1")
    return f"x-api-key: {secret}".encode("latin-1")
