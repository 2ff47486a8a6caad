"""Sends one answer the way the simulation says: paced, split, compressed, stalled or cut.

What is sent is noted before it is written, so that whoever has read it finds it noted.
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence

from byline.testing.http import Answer, Connection
from byline.testing.seen import SeenRequest
from byline.testing.shape import Event
from byline.testing.simulation import Simulation
from byline.testing.tokens import Usage

_WINDOW_BITS = {"gzip": 31, "deflate": 15}
HeaderList = Sequence[tuple[str, str]]


class Cut(Exception):
    """The simulation ends the connection here."""


class Delivery:
    """`confirmed` is there for a lock-step stream: each further event waits for one release."""

    def __init__(
        self,
        connection: Connection,
        seen: SeenRequest,
        simulation: Simulation,
        confirmed: asyncio.Semaphore | None,
    ) -> None:
        self._connection = connection
        self._seen = seen
        self._simulation = simulation
        self._confirmed = confirmed

    async def whole(
        self,
        status: int,
        headers: HeaderList,
        body: bytes,
        *,
        has_body: bool = True,
        reports: Usage | None = None,
    ) -> None:
        """A blocking answer, which reports `reports` once it is all there."""
        simulation = self._simulation
        body = _compressor(simulation)(body, True)
        length = [] if simulation.close else [("content-length", str(len(body)))]
        headers = [*headers, *self._encoding(), *length]
        answer = await self._open(status, headers, chunked=False, has_body=has_body)
        if simulation.cut_after is not None:
            await self._send(answer, body[: simulation.cut_after])
            raise Cut
        self._seen.reported, self._seen.ending = reports, "complete"
        await self._send(answer, body)

    async def stream(self, headers: HeaderList, events: Iterable[Event], failure: Iterator[Event]) -> None:
        """A streamed answer; `failure` takes over where the simulation wants an error."""
        simulation = self._simulation
        answer = await self._open(200, [*headers, *self._encoding()], chunked=not simulation.close)
        squeeze = _compressor(simulation)
        for number, event in enumerate(events):
            if number == simulation.error_after:
                for last in failure:
                    await self._send(answer, squeeze(last.data, False))
                break
            await self._before(number)
            self._seen.reported = event.reported or self._seen.reported
            await self._send(answer, squeeze(event.data, False))
        if simulation.cut_after is not None:
            raise Cut
        await self._send(answer, squeeze(b"", True))
        self._seen.ending = "complete"
        await answer.end()

    async def _open(
        self, status: int, headers: HeaderList, *, chunked: bool, has_body: bool = True
    ) -> Answer:
        simulation = self._simulation
        await asyncio.sleep(simulation.first_byte_s)
        if simulation.cut == "before-headers":
            raise Cut
        answer = Answer(self._connection, chunked=chunked, has_body=has_body)
        self._seen.sent_status, self._seen.sent_headers = status, tuple(headers)
        await answer.head(status, headers)
        if simulation.cut == "after-headers":
            raise Cut
        return answer

    async def _before(self, number: int) -> None:
        """What happens between event `number - 1` and event `number`."""
        simulation = self._simulation
        if number == simulation.cut_after:
            raise Cut
        if number == simulation.stall_after:
            await self._stall()
        if number and self._confirmed is not None:
            await self._confirmed.acquire()
        if number and simulation.pace_s:
            await asyncio.sleep(simulation.pace_s)

    async def _stall(self) -> None:
        if self._simulation.stall_s is not None:
            await asyncio.sleep(self._simulation.stall_s)
            return
        await self._connection.until_client_leaves()
        raise Cut

    async def _send(self, answer: Answer, data: bytes) -> None:
        step = self._simulation.split or len(data) or 1
        for start in range(0, len(data), step):
            piece = data[start : start + step]
            self._seen.sent_body += piece
            await answer.piece(piece)

    def _encoding(self) -> list[tuple[str, str]]:
        return [("content-encoding", self._simulation.encoding)] if self._simulation.encoding else []


def _compressor(simulation: Simulation) -> Callable[[bytes, bool], bytes]:
    """Compresses piece by piece, each readable at once, as servers do with streams."""
    if simulation.encoding is None:
        return lambda data, _last: data
    squeezer = zlib.compressobj(wbits=_WINDOW_BITS[simulation.encoding])
    return lambda data, last: (
        squeezer.compress(data) + squeezer.flush(zlib.Z_FINISH if last else zlib.Z_SYNC_FLUSH)
    )
