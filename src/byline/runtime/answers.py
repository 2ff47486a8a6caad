"""What happens when a provider's answer arrives at an instrumented client.

Its headers are kept for the quota, its status and headers go to whoever observes answers, and its bytes
past the usage recorder if one is on. Works on httpx and httpx2 responses alike, by methods that are
public in both.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from typing import Any, Final, Literal, Protocol

import msgspec

from byline.apis.api import ApiName, Family
from byline.runtime.quiet import note_defect

EXTENSION: Final = "byline"
"""Under this name a request of ours carries its `SentCall`, or `UNDESCRIBED`."""
UNDESCRIBED: Final = "undescribed"
"""Of a call that only the quota is to learn of: nobody wants to know more, so nobody has looked."""


class SentCall(msgspec.Struct, frozen=True, gc=False):
    """What is known of a call before its answer."""

    family: Family
    api: ApiName
    model: str | None
    streaming: bool
    identity_sent: str | None
    identity_action: Literal["stamped", "kept", "none"]
    user: str | None
    job: str | None
    started_at: float
    started: float
    """On the monotonic clock."""


class AnswerHead(msgspec.Struct, frozen=True):
    """Status and headers of one answer, in the order in which answers came."""

    family: Family
    api: ApiName
    model: str | None
    server_address: str
    status: int
    headers: Mapping[str, str]
    """Names in lower case."""
    received_at: float
    """Unix time."""


class Tap(Protocol):
    """Follows one answer's bytes."""

    def feed(self, data: bytes) -> None: ...
    def finish(self, error: BaseException | None) -> None:
        """Once. `error` None: the body ended as its framing promised."""
        ...


Observer = Callable[[AnswerHead], None]
OpenTap = Callable[[SentCall, AnswerHead], Tap | None]


class KeepQuota(Protocol):
    """Is given every answer's headers, before any observer: it must do next to nothing."""

    def __call__(
        self, headers: Mapping[str, str], /, *, now: float, status_code: int, credential: str
    ) -> object: ...


OBSERVERS: Final[list[Observer]] = []
TAPS: Final[list[OpenTap]] = []
"""One at most. While nobody observes and nobody taps, calls aren't described."""
_keep_quota: KeepQuota | None = None


def observe_answers(observer: Observer) -> None:
    """`observer` gets every answer's head, on the thread that waits for it: be quick."""
    if observer not in OBSERVERS:
        OBSERVERS.append(observer)


def tap_answers(open_tap: OpenTap | None) -> None:
    """Have the bytes of every answer followed; None ends that."""
    TAPS[:] = [] if open_tap is None else [open_tap]


def keep_quota(keep: KeepQuota) -> None:
    global _keep_quota
    _keep_quota = keep


def on_response(response: Any) -> None:
    """A hook of httpx clients: the head has come, the body has not been read."""
    call = response.request.extensions.get(EXTENSION)
    if call is not None and (tap := _seen(response, call)) is not None:
        _follow(response, tap)


async def on_async_response(response: Any) -> None:
    call = response.request.extensions.get(EXTENSION)
    if call is not None and (tap := _seen(response, call)) is not None:
        _follow_async(response, tap)


def _seen(response: Any, call: object) -> _Once | None:
    headers, now, status, host = (
        response.headers,
        time.time(),
        response.status_code,
        response.request.url.host,
    )
    if _keep_quota is not None:
        try:
            _keep_quota(headers, now=now, status_code=status, credential=host)
        except Exception as error:  # noqa: BLE001 - the host's call goes on
            note_defect("keeping the quota", error)
    if type(call) is not SentCall:
        return None
    head = AnswerHead(
        family=call.family,
        api=call.api,
        model=call.model,
        server_address=host,
        status=status,
        headers=headers,
        received_at=now,
    )
    _tell_observers(head)
    return _opened(call, head)


def _tell_observers(head: AnswerHead) -> None:
    for observer in OBSERVERS:
        try:
            observer(head)
        except Exception as error:  # noqa: BLE001 - the host's call goes on
            note_defect("an observer of answers", error)


def _opened(call: SentCall, head: AnswerHead) -> _Once | None:
    for open_tap in TAPS:
        try:
            tap = open_tap(call, head)
        except Exception as error:  # noqa: BLE001 - the host's call goes on
            note_defect("recording usage", error)
        else:
            return None if tap is None else _Once(tap)
    return None


class _Once:
    """A tap that cannot hurt: fed while all is well, finished once, silent about its own errors."""

    __slots__ = ("_tap", "reading")

    def __init__(self, tap: Tap) -> None:
        self._tap: Tap | None = tap
        self.reading = False
        """The body is being read right now, so closing the response is part of that."""

    def feed(self, data: bytes) -> None:
        if self._tap is not None:
            try:
                self._tap.feed(data)
            except Exception as error:  # noqa: BLE001 - the host's call goes on
                self._tap = None
                note_defect("recording usage", error)

    def finish(self, error: BaseException | None = None) -> None:
        tap, self._tap = self._tap, None
        self.reading = False
        if tap is not None:
            try:
                tap.finish(error)
            except Exception as defect:  # noqa: BLE001 - the host's call goes on
                note_defect("recording usage", defect)


class Unread(Exception):
    """The caller closed an answer without reading it to its end."""


def _follow(response: Any, tap: _Once) -> None:
    iter_bytes, close = response.iter_bytes, response.close

    def followed(chunk_size: int | None = None) -> Iterator[bytes]:
        tap.reading = True
        try:
            for data in iter_bytes(chunk_size):
                tap.feed(data)
                tap.reading = False
                yield data
                tap.reading = True
        except BaseException as error:
            tap.finish(error)
            raise
        tap.finish()

    def closed() -> None:
        close()
        if not tap.reading:
            tap.finish(Unread())

    response.iter_bytes, response.close = followed, closed


def _follow_async(response: Any, tap: _Once) -> None:
    aiter_bytes, aclose = response.aiter_bytes, response.aclose

    async def followed(chunk_size: int | None = None) -> AsyncIterator[bytes]:
        tap.reading = True
        try:
            async for data in aiter_bytes(chunk_size):
                tap.feed(data)
                tap.reading = False
                yield data
                tap.reading = True
        except BaseException as error:
            tap.finish(error)
            raise
        tap.finish()

    async def closed() -> None:
        await aclose()
        if not tap.reading:
            tap.finish(Unread())

    response.aiter_bytes, response.aclose = followed, closed
