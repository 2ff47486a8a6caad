"""Who a request is from, who it is for, and what it says about itself.

Values only: nothing here reads a clock, a socket or the environment.
"""

from __future__ import annotations

from typing import Literal

import msgspec

ActorKind = Literal["person", "service"]
AuthSource = Literal["key", "jwt", "proxy"]


class Actor(msgspec.Struct, frozen=True):
    """Who is authenticated. `id` never changes; `username` is what people read."""

    id: str
    username: str
    email: str | None = None
    team: str | None = None
    kind: ActorKind = "person"


class Grant(msgspec.Struct, frozen=True):
    """What an accepted credential proves, and what its holder may claim beyond it."""

    actor: Actor
    auth_source: AuthSource
    key_id: str | None = None
    """Set for `auth_source="key"` alone."""
    bound_job: str | None = None
    """The job this credential always stands for; it wins over every claim."""
    may_claim_job: bool = True
    may_claim_user: bool = False


class Claims(msgspec.Struct, kw_only=True):
    """What a request says about itself: recorded, not trusted. Each value is cut to 512 bytes."""

    user: str | None = None
    job: str | None = None
    device_id: str | None = None
    account_id: str | None = None
    session_id: str | None = None
    """Any client's session; for Claude Code the same as `claude_code_session_id`."""
    claude_code_session_id: str | None = None
    agent_id: str | None = None
    parent_agent_id: str | None = None
    prompt_id: str | None = None
    request_class: str | None = None


class Attribution(msgspec.Struct, frozen=True, kw_only=True):
    """Actor + Subject + Job: what goes on the row, the span and the wire."""

    actor: Actor
    subject: Actor
    """Who the request is for: the actor, or the user that a delegating key claimed."""
    job: str | None
    claims: Claims
    auth_source: AuthSource
    key_id: str | None
