"""Which provider and which API a path means. What isn't listed is refused, never guessed."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import msgspec

from byline.apis import chat_completions, messages, passthrough, responses
from byline.apis.api import Api, ApiName, Family
from byline.gateway.http1.request_head import RequestHead
from byline.gateway.provider import Provider
from byline.gateway.refusals import Refused
from byline.wire.compact import CompactReader
from byline.wire.spelling import AnyCase

_METHODS: Mapping[tuple[Family, str], Mapping[str, ApiName]] = {
    ("anthropic", "/v1/messages"): {"POST": "messages"},
    ("anthropic", "/v1/messages/count_tokens"): {"POST": "count_tokens"},
    ("anthropic", "/v1/models"): {"GET": "models"},
    ("openai", "/v1/chat/completions"): {"POST": "chat.completions"},
    ("openai", "/v1/responses"): {"POST": "responses"},
    ("openai", "/v1/models"): {"GET": "models"},
}
_MODEL_METHODS: Mapping[str, ApiName] = {"GET": "models"}
_NO_METHODS: Mapping[str, ApiName] = {}
_MODEL_PATH = re.compile(r"/v1/models/[A-Za-z0-9._:@-]{1,200}")
_APIS: dict[ApiName, Api] = {
    "messages": messages,
    "chat.completions": chat_completions,
    "responses": responses,
    "count_tokens": passthrough.COUNT_TOKENS,
    "models": passthrough.MODELS,
    "other": passthrough.OTHER,
}
# Reached by a path like these, work would go on without an identity on it.
_UNATTRIBUTED = {
    "/batches": "batches carry many requests, each of which would need its own identity",
    "/realtime": "realtime sessions carry no identity that Byline could stamp",
}
# The one would send our own credential back to the client, the other is no request for a path.
_NEVER_SENT = frozenset({"TRACE", "TRACK", "CONNECT"})
# What another parser would fold into a different path: empty and dot segments, backslashes, what stands
# behind a semicolon (Tomcat drops it: `/..;/` is `/../`), any of these in escapes, once or twice over,
# as overlong UTF-8 or control characters, and escapes that are none.
_DEVIOUS = re.compile(
    r"//|/\.{1,2}(/|$)|[;\\]|%(2[ef5]|5c|3b|[01][0-9a-f]|7f|c[01])|%(?![0-9a-f]{2})", re.IGNORECASE
)
# No provider is served beneath these, so a path there is simply unknown.
_OUR_OWN = ("/api/", "/byline/")


class Route(msgspec.Struct, frozen=True):
    provider: Provider
    api_name: ApiName
    api: Api
    upstream_path: bytes
    bodies: CompactReader
    """Reads what matters to the API of plainly written bodies."""


class Routes:
    """Looks a request line up; remembers the answers for paths that it knows by heart."""

    def __init__(self, providers: Sequence[Provider]) -> None:
        self._providers = sorted(providers, key=lambda provider: -len(provider.path_prefix))
        self._by_family = {
            provider.family: provider for provider in reversed(providers) if provider.name == provider.family
        }
        self._found: dict[tuple[bytes, str], Route] = {}

    def find(self, head: RequestHead) -> Route | None:
        """None for a path that no provider serves under any rule. Raises Refused(405) for a wrong method."""
        key = (head.line.method, head.line.path)
        route = self._found.get(key)
        if route is None:
            route = self._find_new(head)
            if route is not None and route.api.identity_field:
                self._found[key] = route
        return route

    def family_of(self, head: RequestHead) -> Family:
        """Whose error shape a client at this path expects, served or not."""
        provider, _ = self._split(head)
        return provider.family if provider else "openai"

    def _find_new(self, head: RequestHead) -> Route | None:
        provider, rest = self._split(head)
        if provider is None or _DEVIOUS.search(head.line.path):
            return None
        method = head.line.method.decode("ascii")
        served = _served(provider.family, rest)
        name = served.get(method)
        if name is None and method not in _NEVER_SENT and is_allowed(rest, provider.allow_paths):
            name = "other"
        if name is None:
            if served:
                raise _wrong_method(method, served)
            return None
        path = (provider.pool.origin.base_path + rest).encode("ascii")
        api = _APIS[name]
        return Route(provider, name, api, path, CompactReader(AnyCase(api.acts_on)))

    def _split(self, head: RequestHead) -> tuple[Provider | None, str]:
        path = head.line.path
        for provider in self._providers:
            prefix = provider.path_prefix
            if path.startswith(prefix) and path[len(prefix) : len(prefix) + 1] == "/":
                return provider, path.removeprefix(prefix)
        return self._by_family.get(_family_of_bare_path(head)), path


def _served(family: Family, path: str) -> Mapping[str, ApiName]:
    """By method."""
    if _MODEL_PATH.fullmatch(path):
        return _MODEL_METHODS
    return _METHODS.get((family, path), _NO_METHODS)


def _wrong_method(method: str, served: Mapping[str, ApiName]) -> Refused:
    allowed = ", ".join(served)
    message = f"this path is served for {allowed}, not for {method}"
    return Refused(405, "invalid_request", message, [("allow", allowed)])


def is_allowed(path: str, patterns: Sequence[str]) -> bool:
    """`/v1/files` is that path alone; `/v1/files*` is every path that begins so."""
    return any(
        path.startswith(pattern[:-1]) if pattern.endswith("*") else path == pattern for pattern in patterns
    )


def explain_unserved(path: str) -> Refused:
    """The refusal for an authenticated caller at a path that is not served."""
    if _DEVIOUS.search(path) and not path.startswith(_OUR_OWN):
        message = (
            "servers read this path in different ways: write it without empty, `.` or `..` segments, "
            "without `;` and `\\`, and without escapes that stand for one of these or for `/` and `%`"
        )
        return Refused(400, "invalid_request", message)
    for part, reason in _UNATTRIBUTED.items():
        if part in path:
            return Refused(
                403,
                "permission",
                f"{reason}; the operator may list this path in allow_paths to pass it through",
            )
    return Refused(404, "not_found", _why_not_found(path))


def _why_not_found(path: str) -> str:
    if path.startswith(_OUR_OWN):
        return "nothing is served at this path with this method"
    if "/v1/" not in path or "/v1/v1/" in path:  # what clients ask for whose base URL is wrong
        return (
            "no API is served at this path: an OpenAI base URL ends in /v1, an Anthropic one doesn't; "
            "an operator may let other paths through with allow_paths"
        )
    return (
        "this API is not served: an operator may list its path in the provider's allow_paths "
        "to pass it through, without usage"
    )


def _has_anthropic_version(head: RequestHead) -> bool:
    return any(field.name == b"anthropic-version" for field in head.fields)


def _family_of_bare_path(head: RequestHead) -> Family:
    """Paths without a provider's prefix. Both families have /v1/models: their headers differ."""
    if head.line.path.startswith("/v1/messages"):
        return "anthropic"
    if head.line.path.startswith("/v1/models") and (
        head.get(b"x-api-key") is not None or _has_anthropic_version(head)
    ):
        return "anthropic"
    return "openai"
