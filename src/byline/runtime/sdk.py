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

from byline.identity.environment import CarriedIdentity
from byline.runtime.answers import (
    EXTENSION,
    OBSERVERS,
    TAPS,
    UNDESCRIBED,
    SentCall,
    on_async_response,
    on_response,
)
from byline.runtime.bodies import Body, Call, find_call
from byline.runtime.calls import KEY_PREFIX, claim_headers, describe
from byline.runtime.current import current_identity
from byline.runtime.quiet import note_defect

PACKAGES: Final = ("anthropic", "openai")
_ORIGINAL: Final = "_byline_original"
Mark = SentCall | str | None
"""What a request of ours carries; None for what isn't followed."""
_preparing: ContextVar[Mark] = ContextVar("byline_preparing", default=None)


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
        _preparing.set(_stamped(client, options))
        return original._prepare_options(client, options)

    def prepare_request(client: Any, request: Any) -> None:
        _mark(client, request, on_response)
        original._prepare_request(client, request)

    return {"_prepare_options": prepare_options, "_prepare_request": prepare_request}


def _async_hooks(original: type[Any]) -> dict[str, Any]:
    async def prepare_options(client: Any, options: Any) -> Any:
        _preparing.set(_stamped(client, options))
        return await original._prepare_options(client, options)

    async def prepare_request(client: Any, request: Any) -> None:
        _mark(client, request, on_async_response)
        await original._prepare_request(client, request)

    return {"_prepare_options": prepare_options, "_prepare_request": prepare_request}


def _stamped(client: Any, options: Any) -> Mark:
    """`options` belongs to this attempt; what it refers to is shared with the next one and the caller.

    One function, since every call comes by here when the processor's caches hold the SDK and not us:
    each further function entered costs close to a microsecond then.
    """
    try:
        call, given = find_call(options.url), options.json_data
        if call is None or options.method.lower() != "post":
            return None
        if type(given) is not dict and not isinstance(given, Mapping):  # nearly always, and quicker to tell
            return None
        body, is_ours, identity = cast("Body", given), False, current_identity()
        if identity is not None:
            # `extra_body` is laid over the body later, so it is what the caller said.
            said = {**body, **options.extra_json} if options.extra_json else body
            stamped = call.apply(said, identity)
            is_ours = stamped is not said
            if is_ours:
                options.json_data = body = stamped
                if options.extra_json:
                    options.extra_json = None
            if talks_to_gateway(client):
                _claim(client, options, identity)
        if OBSERVERS or TAPS:
            return _described(call, body, identity, is_ours=is_ours)
        return UNDESCRIBED if call.api != "batch" else None  # noqa: TRY300 - part of what may fail
    except Exception as error:  # noqa: BLE001 - the host's call goes on
        note_defect("putting the identity on a call", error)
        return None


def _described(call: Call, body: Body, identity: CarriedIdentity | None, *, is_ours: bool) -> Mark:
    return describe(
        call,
        identity,
        model=body.get("model"),
        streaming=bool(body.get("stream")),
        field=call.read(body),
        is_ours=is_ours,
    )


def _claim(client: Any, options: Any, identity: CarriedIdentity) -> None:
    given: object = options.headers
    present: Mapping[str, Any] = cast("Mapping[str, Any]", given) if isinstance(given, Mapping) else {}
    options.headers = {**present, **claim_headers(identity, {**client._custom_headers, **present})}


def talks_to_gateway(client: Any) -> bool:
    """Byline keys are of use nowhere else."""
    for key in (getattr(client, "api_key", None), getattr(client, "auth_token", None)):
        if type(key) is str and key.startswith(KEY_PREFIX):
            return True
    headers = client._custom_headers
    return bool(headers) and any(name.lower() == "x-byline-key" for name in headers)


def _mark(client: Any, request: Any, hook: Any) -> None:
    """Lets the answer's hook know the request. The hook is hung up here, since a copy of a client may
    have another HTTP client, and several clients may share one."""
    mark = _preparing.get()
    if mark is None:
        return
    try:
        request.extensions[EXTENSION] = mark
        hooks = client._client.event_hooks["response"]
        if hook not in hooks:
            hooks.append(hook)
    except Exception as error:  # noqa: BLE001 - the host's call goes on
        note_defect("following a call", error)
