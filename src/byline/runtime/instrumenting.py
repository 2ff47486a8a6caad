"""`byline.instrument`: puts the identity on what a client sends, whatever kind of client it is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final, TypeVar

from byline.runtime.httpx_hook import instrument_http_client, is_http_client, uninstrument_http_client
from byline.runtime.quota import watch_quota
from byline.runtime.sdk import instrument_client, is_official_client, uninstrument_client

Client = TypeVar("Client")

_HOLDS: Final = ("client", "_client", "_async_client", "root_client", "root_async_client")
"""Where frameworks keep the official client: pydantic-ai's models and providers, LangChain's models."""


def instrument(client: Client) -> Client:
    """From now on every call of `client` carries the identity of who it is made for.

    `client` is an official `anthropic` or `openai` client, sync or async, an `httpx` or `httpx2`
    client, or an object that holds such a client as LangChain's and pydantic-ai's models do. It is
    changed in place and returned. Doing it twice is the same as once; `uninstrument` undoes it.
    """
    _each(client, instrument_client, instrument_http_client)
    watch_quota()
    return client


def uninstrument(client: Client) -> Client:
    """Undoes `instrument`; nothing happens to a client that isn't instrumented."""
    _each(client, uninstrument_client, uninstrument_http_client)
    return client


def _each(client: object, official: Callable[[Any], None], http: Callable[[Any], None]) -> None:
    if is_official_client(client):
        official(client)
        return
    if is_http_client(client):
        http(client)
        return
    held = list(_held_by(client))
    if not held:
        raise TypeError(
            f"byline.instrument can't instrument a {type(client).__name__}: pass an anthropic, openai,"
            " httpx or httpx2 client, or a model of LangChain or pydantic-ai"
        )
    for each in held:
        official(each)


def _held_by(holder: object) -> Iterator[object]:
    for name in _HOLDS:
        candidate = getattr(holder, name, None)
        if candidate is not None and is_official_client(candidate):
            yield candidate
