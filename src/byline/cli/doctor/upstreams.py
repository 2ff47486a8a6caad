"""Reaches each provider the way a worker would: same connection, proxy, authorities and keys.

Asks for the list of models, which costs nothing. A key is never printed, only its variable's name.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable

from byline.cli.doctor.finding import Finding
from byline.gateway.http1.response import ResponseHead
from byline.gateway.provider import Credential, Provider
from byline.gateway.upstream.connection import Lost
from byline.gateway.upstream.dial import DialError

ANSWER_TIMEOUT_S = 15.0


async def look(providers: Iterable[Provider]) -> list[Finding]:
    """All at once; one finding for each credential."""
    findings = await asyncio.gather(*(_look_at(provider) for provider in providers))
    return [finding for each in findings for finding in each]


async def _look_at(provider: Provider) -> list[Finding]:
    return [await _try(provider, credential) for credential in _credentials(provider)]


def _credentials(provider: Provider) -> list[Credential]:
    choice = provider.credentials
    every = [choice.default, *choice.by_key.values(), *choice.by_user.values(), *choice.by_team.values()]
    return list({credential.name: credential for credential in every}.values())


async def _try(provider: Provider, credential: Credential) -> Finding:
    check = f"provider {provider.name}" + ("" if credential.name == "default" else f", key {credential.name}")
    try:
        async with asyncio.timeout(ANSWER_TIMEOUT_S):
            began = time.monotonic()
            status = await _models_status(provider, credential)
            took_ms = (time.monotonic() - began) * 1000
    except DialError as error:
        return Finding(check, "failed", str(error), "check base_url, proxy and the network")
    except TimeoutError:
        return Finding(check, "failed", "connected, but no answer came", "check base_url and the proxy")
    except LostAnswer as error:
        return Finding(check, "failed", f"the answer broke off ({error})", "check base_url and the proxy")
    return _judge(
        check, credential, status, f"{provider.pool.origin.authority} answered {status} in {took_ms:.0f} ms"
    )


def _judge(check: str, credential: Credential, status: int, detail: str) -> Finding:
    if credential.missing_env:
        return Finding(
            check,
            "warning",
            f"{detail}; {credential.missing_env} is not set in this shell; a running server may have it",
            f"set {credential.missing_env} where `byline serve` starts; "
            "without it only clients with their own provider key are served",
        )
    if status in (401, 403):
        return Finding(check, "failed", f"{detail}: the key was refused", "put a valid key in its variable")
    if 200 <= status < 300:
        return Finding(check, "ok", detail)
    if status == 404:
        return Finding(
            check, "warning", f"{detail}: no list of models there", "check base_url; the key wasn't tried"
        )
    return Finding(check, "warning", detail, "try again later; check base_url if it stays so")


class LostAnswer(Exception):
    """The connection ended before the answer did."""


class _Answer:
    """Waits for one answer and keeps its status; the body is passed over."""

    def __init__(self) -> None:
        self._status = 0
        self.done: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    def on_answer_head(self, head: ResponseHead) -> None:
        self._status = head.status

    def on_answer_body(self, data: bytes) -> None:
        pass

    def on_answer_chunk(self, framed: bytes, data: bytes) -> None:
        pass

    def on_answer_end(self) -> None:
        if not self.done.done():
            self.done.set_result(self._status)

    def on_whole_answer(self, head: ResponseHead, body: bytes) -> None:
        self.on_answer_head(head)
        self.on_answer_end()

    def on_answer_lost(self, why: Lost) -> None:
        if not self.done.done():
            self.done.set_exception(LostAnswer(why))

    def on_read_done(self) -> None:
        pass


async def _models_status(provider: Provider, credential: Credential) -> int:
    connection = await provider.pool.connect()
    try:
        answer = _Answer()
        request = _request(provider, credential)
        connection.send(request, [], answer, to_head_request=False, now=time.monotonic())
        return await answer.done
    finally:
        connection.abort()


def _request(provider: Provider, credential: Credential) -> bytes:
    pool = provider.pool
    target = f"{pool.origin.base_path}/v1/models"
    if pool.proxy is not None and pool.origin.scheme == "http":
        target = f"http://{pool.origin.authority}{target}"
    lines = [
        f"GET {target} HTTP/1.1".encode(),
        f"Host: {pool.origin.authority}".encode(),
        b"User-Agent: byline-doctor",
        b"Accept-Encoding: identity",
        b"anthropic-version: 2023-06-01" if provider.family == "anthropic" else b"",
        credential.header_line,
    ]
    return b"\r\n".join(filter(None, lines)) + b"\r\n\r\n"
