"""Instruments the official clients: a subclass in place of the client's class.

The two hooks that the SDKs offer to subclasses come before anything is built or signed, so Bedrock
and Vertex variants work as well; and copies (`with_options`) are of the same class, so they stay
instrumented. The object stays the one it was, for whoever holds it.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from contextvars import ContextVar
from functools import lru_cache
from typing import Any, Final, cast

from byline.runtime.answers import EXTENSION, SentCall, are_watched, on_async_response, on_response
from byline.runtime.bodies import find_call
from byline.runtime.calls import KEY_PREFIX, claim_headers, describe
from byline.runtime.current import current_identity
from byline.runtime.quiet import note_defect

PACKAGES: Final = ("anthropic", "openai")
_ORIGINAL: Final = "_byline_original"
_preparing: ContextVar[SentCall | None] = ContextVar("byline_preparing", default=None)


def is_official_client(candidate: object) -> bool:
    return hasattr(candidate, "_prepare_options") and any(
        base.__module__.partition(".")[0] in PACKAGES for base in type(candidate).__mro__
    )


def instrument_client(client: Any) -> None:
    if not hasattr(client, _ORIGINAL):
        client.__class__ = _instrumented(cast("type[Any]", type(client)))


def uninstrument_client(client: Any) -> None:
    original = getattr(client, _ORIGINAL, None)
    if original is not None:
        client.__class__ = original
        hooks = client._client.event_hooks["response"]
        for hook in (on_response, on_async_response):
            if hook in hooks:
                hooks.remove(hook)


@lru_cache(maxsize=64)
def _instrumented(original: type[Any]) -> type[Any]:
    is_async = inspect.iscoroutinefunction(original._prepare_options)
    hooks = _async_hooks(original) if is_async else _hooks(original)
    about = {
        "__module__": original.__module__,
        "__qualname__": original.__qualname__,
        "__doc__": original.__doc__,
    }
    return type(original.__name__, (original,), {**about, **hooks, _ORIGINAL: original})


def _hooks(original: type[Any]) -> dict[str, Any]:
    def prepare_options(client: Any, options: Any) -> Any:
        return original._prepare_options(client, _stamped(client, options))

    def prepare_request(client: Any, request: Any) -> None:
        _mark(client, request, on_response)
        original._prepare_request(client, request)

    return {"_prepare_options": prepare_options, "_prepare_request": prepare_request}


def _async_hooks(original: type[Any]) -> dict[str, Any]:
    async def prepare_options(client: Any, options: Any) -> Any:
        return await original._prepare_options(client, _stamped(client, options))

    async def prepare_request(client: Any, request: Any) -> None:
        _mark(client, request, on_async_response)
        await original._prepare_request(client, request)

    return {"_prepare_options": prepare_options, "_prepare_request": prepare_request}


def _stamped(client: Any, options: Any) -> Any:
    sent = None
    try:
        sent = _stamp(client, options)
    except Exception as error:  # noqa: BLE001 - the host's call goes on
        note_defect("putting the identity on a call", error)
    _preparing.set(sent)
    return options


def _stamp(client: Any, options: Any) -> SentCall | None:
    """`options` belongs to this attempt; what it refers to is shared with the next one and the caller."""
    call = find_call(options.url)
    body = _mapping(options.json_data)
    if call is None or body is None or options.method.lower() != "post":
        return None
    identity = current_identity()
    is_ours = False
    if identity is not None:
        # `extra_body` is laid over the body later, so it is what the caller said.
        said = {**body, **options.extra_json} if options.extra_json else body
        stamped = call.apply(said, identity)
        is_ours = stamped is not said
        if is_ours:
            options.json_data = body = stamped
            if options.extra_json:
                options.extra_json = None
        _claim(client, options, identity)
    if not are_watched():
        return None
    return describe(
        call,
        identity,
        model=body.get("model"),
        streaming=bool(body.get("stream")),
        field=call.read(body),
        is_ours=is_ours,
    )


def _claim(client: Any, options: Any, identity: Any) -> None:
    if talks_to_gateway(client):
        present = _mapping(options.headers) or {}
        options.headers = {**present, **claim_headers(identity, {**client._custom_headers, **present})}


def _mapping(value: object) -> Mapping[str, Any] | None:
    if type(value) is dict:  # nearly always, and far quicker to tell
        return cast("dict[str, Any]", value)
    return cast("Mapping[str, Any]", value) if isinstance(value, Mapping) else None


def talks_to_gateway(client: Any) -> bool:
    """Byline keys are of use nowhere else."""
    for name in ("api_key", "auth_token"):
        key = getattr(client, name, None)
        if isinstance(key, str) and key.startswith(KEY_PREFIX):
            return True
    headers = client._custom_headers
    return bool(headers) and any(name.lower() == "x-byline-key" for name in headers)


def _mark(client: Any, request: Any, hook: Any) -> None:
    """Lets the answer's hook know the request. The hook is hung up here, since a copy of a client may
    have another HTTP client, and several clients may share one."""
    call = _preparing.get()
    if call is None:
        return
    try:
        request.extensions[EXTENSION] = call
        hooks = client._client.event_hooks["response"]
        if hook not in hooks:
            hooks.append(hook)
    except Exception as error:  # noqa: BLE001 - the host's call goes on
        note_defect("following a call", error)
