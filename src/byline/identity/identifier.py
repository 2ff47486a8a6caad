"""Decides which one string is stamped upstream, made from an Attribution by the operator's policy.

Pure: the hash key and every limit are arguments. Where the string goes in a body is the business of
`byline.apis`; here stands only what it is, and what is said about it on the row.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Literal

import msgspec

from byline.identity.documents import read_members, user_job, with_identity
from byline.identity.model import Attribution
from byline.identity.personal import looks_personal
from byline.identity.text import has_control_characters

IdentifierKind = Literal["id", "username", "email", "hash", "user_job"]
Policy = Literal["overwrite", "fill", "keep", "merge"]
Action = Literal["stamped", "replaced", "filled", "kept", "merged", "hashed", "none"]

Count = Literal[
    "email_missing",
    "job_missing",
    "identifier_hashed",
    "merge_shortened",
    "merge_without_job",
    "merge_gave_up",
]
"""What operators may want to know happened; each is a counter."""

HASH_DOMAIN = b"byline:v1:"
HASH_DIGITS = 64
SHORT_HASH_DIGITS = 32
ACTOR_ID_CHARS = 30
_EMPTY_USER_JOB_CHARS = len('{"user":"u","job":"j"}')
_CACHED_IDENTIFIERS = 4096


@dataclass(frozen=True, slots=True, eq=False)
class IdentityPolicy:
    """One provider's rules. Compared by identity, so make one per provider and keep it."""

    kind: IdentifierKind
    policy: Policy
    max_length: int
    """In characters."""
    hash_key: bytes = field(repr=False)
    forbids_personal: bool
    """The provider refuses values that look like an email address or a phone number."""


class Decision(msgspec.Struct, frozen=True):
    value: str | None
    """What to put into the identity field; None leaves the field as the client sent it."""
    identifier: str
    """What Byline computed: for the row and the span, whether or not it was sent."""
    action: Action
    counts: tuple[Count, ...] = ()


def decide(attribution: Attribution, client_value: str | None, policy: IdentityPolicy) -> Decision:
    """`client_value` is what stood in the identity field; None if nothing, or no string, did."""
    subject = attribution.subject
    computed = _identifier(policy, policy.kind, subject.id, subject.username, subject.email, attribution.job)
    if policy.policy == "keep":
        return Decision(None, computed.text, "kept" if client_value else "none", computed.counts)
    if client_value:
        if policy.policy == "fill":
            return Decision(None, computed.text, "kept", computed.counts)
        if policy.policy == "merge" and client_value.lstrip().startswith("{"):
            return _merge(attribution, client_value, policy, computed)
    return _overwrite(client_value, policy, computed)


def identity_hash(key: bytes, subject_id: str) -> str:
    """64 lower-case hex digits, the same wherever the key is the same."""
    return hmac.new(
        key, HASH_DOMAIN + subject_id.encode("utf-8", "surrogatepass"), hashlib.sha256
    ).hexdigest()


def validate_policy(policy: IdentityPolicy, provider: str) -> None:
    """Raises ValueError, with the line to write instead, for a policy that can never fit."""
    setting = f'identifier = "{policy.kind}" in [identity] can\'t work for {provider}'
    if policy.kind == "email" and policy.forbids_personal:
        raise ValueError(f"{setting}: it refuses email addresses. {_instead(provider, 'hash')}")
    shortest = _SHORTEST[policy.kind]
    if shortest > policy.max_length:
        fitting = next((kind for kind in ("hash", "id") if _SHORTEST[kind] <= policy.max_length), "username")
        raise ValueError(
            f"{setting}: it has at least {shortest} characters where {policy.max_length} are allowed."
            f" {_instead(provider, fitting)}"
        )


_SHORTEST: dict[str, int] = {
    "id": ACTOR_ID_CHARS,
    "username": 1,
    "email": 3,
    "hash": HASH_DIGITS,
    "user_job": _EMPTY_USER_JOB_CHARS,
}


def _instead(provider: str, kind: str) -> str:
    return f'Write instead:\n[identity.{provider}]\nidentifier = "{kind}"'


class _Computed(msgspec.Struct, frozen=True):
    text: str
    """Always fits the field."""
    hashed: bool
    """It is the hash because what was asked for does not fit."""
    counts: tuple[Count, ...]


@lru_cache(maxsize=_CACHED_IDENTIFIERS)
def _identifier(
    policy: IdentityPolicy,
    kind: IdentifierKind,
    subject_id: str,
    username: str,
    email: str | None,
    job: str | None,
) -> _Computed:
    """Cached, because the hash alone costs more than all the rest of a decision."""
    text, counts = _of_kind(policy, kind, subject_id, username, email, job)
    if _fits(policy, text):
        return _Computed(text, hashed=False, counts=counts)
    hashed = identity_hash(policy.hash_key, subject_id)[: policy.max_length]
    return _Computed(hashed, hashed=True, counts=(*counts, "identifier_hashed"))


def _of_kind(
    policy: IdentityPolicy,
    kind: IdentifierKind,
    subject_id: str,
    username: str,
    email: str | None,
    job: str | None,
) -> tuple[str, tuple[Count, ...]]:
    match kind:
        case "id":
            return subject_id, ()
        case "username":
            return username, ()
        case "email":
            return (email, ()) if email else (subject_id, ("email_missing",))
        case "hash":
            return identity_hash(policy.hash_key, subject_id), ()
        case "user_job":
            return (user_job(username, job), ()) if job else (subject_id, ("job_missing",))


def _fits(policy: IdentityPolicy, text: str) -> bool:
    if not text or len(text) > policy.max_length or has_control_characters(text):
        return False
    return not (policy.forbids_personal and looks_personal(text))


def _overwrite(client_value: str | None, policy: IdentityPolicy, computed: _Computed) -> Decision:
    if computed.hashed:
        action: Action = "hashed"
    elif policy.policy == "fill":
        action = "filled"
    else:
        action = "replaced" if client_value else "stamped"
    return Decision(computed.text, computed.text, action, computed.counts)


def _merge(
    attribution: Attribution, client_value: str, policy: IdentityPolicy, computed: _Computed
) -> Decision:
    members = read_members(client_value)
    if members is None:
        return _overwrite(client_value, policy, computed)
    counts: tuple[Count, ...] = ()
    for form in _merge_forms(attribution, policy, computed):
        counts = (*counts, *form.counts)
        merged = with_identity(members, form.user, form.job)
        if merged is not None and _fits(policy, merged):
            return Decision(merged, form.identifier, "merged", counts)
    plain = _overwrite(client_value, policy, computed)
    return Decision(plain.value, plain.identifier, plain.action, (*counts, "merge_gave_up"))


class _MergeForm(msgspec.Struct, frozen=True):
    user: str
    job: str | None
    identifier: str
    counts: tuple[Count, ...]
    """What trying this form adds to those before it."""


def _merge_forms(
    attribution: Attribution, policy: IdentityPolicy, computed: _Computed
) -> Iterator[_MergeForm]:
    """Ever shorter ways to name subject and job."""
    subject, job = attribution.subject, attribution.job
    user = computed
    if policy.kind == "user_job" and job:  # the job has a member of its own here
        user = _identifier(policy, "username", subject.id, subject.username, subject.email, None)
    yield _MergeForm(user.text, job, computed.text, user.counts)
    short = identity_hash(policy.hash_key, subject.id)[:SHORT_HASH_DIGITS]
    yield _MergeForm(short, job, short, ("merge_shortened",))
    if job:
        yield _MergeForm(short, None, short, ("merge_without_job",))
