"""Instruments an `httpx` or `httpx2` client, for libraries that take one or make their own.

Works on the encoded body: the identity is cut into its bytes, all others stay. A request that is
signed for another path than the APIs' own, as for Bedrock, is left alone.
"""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Any, Final, cast

from byline.apis import chat_completions, messages, responses
from byline.apis.api import Api
from byline.identity.environment import CarriedIdentity
from byline.runtime.answers import EXTENSION, SentCall, on_async_response, on_response
from byline.runtime.bodies import OPENAI_MAX_CHARS, Call, find_call
from byline.runtime.calls import KEY_PREFIX, claim_headers, describe
from byline.runtime.current import current_identity, hashed
from byline.runtime.quiet import note_defect

_APIS: Final[dict[str, Api]] = {
    "messages": messages,
    "chat.completions": chat_completions,
    "responses": responses,
}
_LIBRARIES: Final = ("httpx", "httpx2")
_ORIGINAL: Final = "_byline_original"
_FRAMING: Final = ("content-length", "transfer-encoding")


def is_http_client(candidate: object) -> bool:
    return any(
        base.__name__ in ("Client", "AsyncClient") and base.__module__.partition(".")[0] in _LIBRARIES
        for base in type(candidate).__mro__
    )


def instrument_http_client(client: Any) -> None:
    if hasattr(client, _ORIGINAL):
        return
    client.__class__ = _instrumented(cast("type[Any]", type(client)))
    client.event_hooks["response"].append(_hook_of(client))


def uninstrument_http_client(client: Any) -> None:
    original = getattr(client, _ORIGINAL, None)
    if original is not None:
        client.event_hooks["response"].remove(_hook_of(client))
        client.__class__ = original


def _hook_of(client: Any) -> Any:
    return on_async_response if hasattr(client, "aclose") else on_response


@lru_cache(maxsize=64)
def _instrumented(original: type[Any]) -> type[Any]:
    def send(client: Any, request: Any, **options: Any) -> Any:
        return original.send(client, _stamped(request), **options)

    async def async_send(client: Any, request: Any, **options: Any) -> Any:
        return await original.send(client, _stamped(request), **options)

    about = {
        "__module__": original.__module__,
        "__qualname__": original.__qualname__,
        "__doc__": original.__doc__,
    }
    sending = async_send if hasattr(original, "aclose") else send
    return type(original.__name__, (original,), {**about, "send": sending, _ORIGINAL: original})


def _stamped(request: Any) -> Any:
    try:
        return _stamp(request)
    except Exception as error:  # noqa: BLE001 - the host's call goes on
        note_defect("putting the identity on a call", error)
        return request


def _stamp(request: Any) -> Any:
    call = find_call(request.url.path)
    if call is None or request.method != "POST" or "content-encoding" in request.headers:
        return request
    if EXTENSION in request.extensions or not hasattr(request, "_content"):
        return request  # an instrumented SDK has seen to it, or the body is a stream
    identity = current_identity()
    body, sent = _stamp_body(call, request.content, identity)
    headers = [pair for pair in request.headers.multi_items() if pair[0].lower() not in _FRAMING]
    if identity is not None and _goes_to_gateway(request):
        headers += claim_headers(identity, request.headers).items()
    extensions = {**request.extensions, EXTENSION: sent} if sent is not None else request.extensions
    return type(request)(request.method, request.url, headers=headers, content=body, extensions=extensions)


def _stamp_body(call: Call, body: bytes, identity: CarriedIdentity | None) -> tuple[bytes, SentCall | None]:
    api = _APIS.get(call.api)
    if api is None:
        return (body if identity is None else _stamp_batch(call, body, identity)), None
    facts = api.read_request(body)
    field = facts.client_identifier
    is_ours = identity is not None and not field
    if identity is not None and is_ours:
        field = _fitting(call, identity)
        body = b"".join(api.stamp(facts, field).segments)
    return body, describe(
        call, identity, model=facts.model, streaming=facts.streaming, field=field, is_ours=is_ours
    )


def _stamp_batch(call: Call, body: bytes, identity: CarriedIdentity) -> bytes:
    return json.dumps(call.apply(json.loads(body), identity), ensure_ascii=False).encode()


def _fitting(call: Call, identity: CarriedIdentity) -> str:
    fits = call.family == "anthropic" or len(identity.text) <= OPENAI_MAX_CHARS
    return identity.text if fits else hashed(identity.text)


def _goes_to_gateway(request: Any) -> bool:
    headers = request.headers
    presented = (headers.get("x-api-key", ""), headers.get("authorization", "").removeprefix("Bearer "))
    return "x-byline-key" in headers or any(key.startswith(KEY_PREFIX) for key in presented)
