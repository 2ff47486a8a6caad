"""Puts an identity into the body of a call, as Python objects before they are encoded.

Knows the four calls that have a field for it. What the caller wrote there stays, and the caller's
objects are never changed: what differs is copied.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, Literal, cast

from byline.apis.api import ApiName, Family
from byline.identity.environment import CarriedIdentity
from byline.runtime.current import hashed

Body = Mapping[str, Any]
OPENAI_MAX_CHARS: Final = 64


@dataclass(frozen=True, slots=True)
class Call:
    """A call that has a field for the identity."""

    family: Family
    api: ApiName | Literal["batch"]
    apply: Callable[[Body, CarriedIdentity], Body]
    read: Callable[[Body], str | None]
    """What stands in the field; None for batches, which have many."""


@lru_cache(maxsize=256)
def find_call(path: str) -> Call | None:
    """By the path's end, so that prefixes of gateways and deployments don't matter."""
    path = path.partition("?")[0].rstrip("/")
    for ending, call in _CALLS.items():
        if path.endswith(ending):
            return call
    return None


def _apply_to_message(body: Body, identity: CarriedIdentity) -> Body:
    metadata = body.get("metadata")
    if metadata is None or not isinstance(metadata, Mapping):
        return {**body, "metadata": {"user_id": identity.text}}
    members = cast("Mapping[str, Any]", metadata)
    if members.get("user_id"):
        return body
    return {**body, "metadata": {**members, "user_id": identity.text}}


def _apply_to_batch(body: Body, identity: CarriedIdentity) -> Body:
    requests: object = body.get("requests")
    if not isinstance(requests, Sequence) or isinstance(requests, str | bytes):
        return body
    return {
        **body,
        "requests": [_apply_to_batched(item, identity) for item in cast("Sequence[Any]", requests)],
    }


def _apply_to_batched(item: Any, identity: CarriedIdentity) -> Any:
    if not isinstance(item, Mapping):
        return item
    request = cast("Mapping[str, Any]", item)
    params = request.get("params")
    if not isinstance(params, Mapping):
        return request
    return {**request, "params": _apply_to_message(cast("Body", params), identity)}


def _apply_to_chat(body: Body, identity: CarriedIdentity) -> Body:
    return body if body.get("user") else {**body, "user": _short(identity)}


def _apply_to_response(body: Body, identity: CarriedIdentity) -> Body:
    return body if body.get("safety_identifier") else {**body, "safety_identifier": _short(identity)}


def _short(identity: CarriedIdentity) -> str:
    return identity.text if len(identity.text) <= OPENAI_MAX_CHARS else hashed(identity.text)


def _read_message(body: Body) -> str | None:
    metadata: object = body.get("metadata")
    return _text(cast("Body", metadata).get("user_id")) if isinstance(metadata, Mapping) else None


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


_CALLS: Final = {
    "/v1/messages": Call("anthropic", "messages", _apply_to_message, _read_message),
    "/v1/messages/batches": Call("anthropic", "batch", _apply_to_batch, lambda _: None),
    "/chat/completions": Call(
        "openai", "chat.completions", _apply_to_chat, lambda body: _text(body.get("user"))
    ),
    "/responses": Call(
        "openai", "responses", _apply_to_response, lambda body: _text(body.get("safety_identifier"))
    ),
}
