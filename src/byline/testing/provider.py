"""A model provider on this machine: the Anthropic and OpenAI APIs without a model behind them.

In a test: `async with SimulatedProvider() as provider:`, or plain `with` from code that has no event
loop. As a process of its own: `python -m byline.testing.provider --port 9999`.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, Callable, Collection
from types import TracebackType
from typing import Self

from byline.testing import control, exchange
from byline.testing.desk import Desk
from byline.testing.hosted import LoopThread
from byline.testing.http import HEAD_LIMIT, ClientGone, Connection, FramingError, Request
from byline.testing.seen import Counted, SeenRequest, count, see
from byline.testing.simulation import Options, build, parse


class SimulatedProvider:
    """Answers like the real ones, remembers every request, and fails when told to.

    `simulate` holds options for every request (see `Simulation`); `api_keys` the accepted
    credentials, any if None; `seed` varies the drawn texts and token counts.
    """

    def __init__(
        self,
        *,
        port: int = 0,
        simulate: str | Options = "",
        api_keys: Collection[str] | None = None,
        seed: int = 0,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._port = port
        self._server: asyncio.Server | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._host: LoopThread | None = None
        self._connections: set[asyncio.Task[None]] = set()
        self._accepted = 0
        accepted = frozenset(api_keys) if api_keys is not None else None
        self._desk = Desk(defaults=_checked(simulate), api_keys=accepted, seed=seed, now=now)

    @property
    def requests(self) -> list[SeenRequest]:
        """Every request so far, in order of arrival, control calls left out."""
        return self._desk.requests

    @property
    def port(self) -> int:
        """The port listened on; only while running."""
        if self._server is None:
            raise RuntimeError("the simulated provider is not running; use it in a `with` block")
        return int(self._server.sockets[0].getsockname()[1])

    @property
    def base_url(self) -> str:
        """What `ANTHROPIC_BASE_URL` and the Anthropic SDK take."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def openai_base_url(self) -> str:
        """What `OPENAI_BASE_URL` and the OpenAI SDK take."""
        return f"{self.base_url}/v1"

    def simulate(self, options: str | Options, *, times: int = 1) -> None:
        """Says what happens to the next requests that ask for an answer."""
        self._desk.queued.extend([_checked(options)] * times)

    def replay(self, stream: bytes, *, split: int | None = None, times: int = 1) -> None:
        """Answers the next requests with a recorded event stream, `split` bytes at a time."""
        options: Options = {"replay": stream}
        self.simulate(options | ({"split": split} if split else {}), times=times)

    def confirm(self, events: int = 1) -> None:
        """Lets a `lock-step` stream send its next event."""
        if self._loop is None:
            raise RuntimeError("the simulated provider is not running")
        for _ in range(events):
            self._loop.call_soon_threadsafe(self._desk.confirm)

    def counted(self) -> dict[str | None, Counted]:
        """Requests and tokens of each identity, as this provider reported them."""
        return count(self.requests)

    async def start(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self._port, limit=HEAD_LIMIT)

    async def close(self) -> None:
        """Stops listening and ends every connection, also those that are being answered."""
        if self._server is None:
            return
        self._server.close()
        for task in self._connections:
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)
        await self._server.wait_closed()
        self._server = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def __enter__(self) -> Self:
        self._host = LoopThread("simulated-provider")
        self._host.run(self.start())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._host is not None:
            self._host.run(self.close())
            self._host.close()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        task.add_done_callback(self._connections.discard)
        self._accepted += 1
        async with _closing(Connection(reader, writer)) as connection:
            await self._serve(connection, self._accepted)

    async def _serve(self, connection: Connection, number: int) -> None:
        while request := await connection.read_request():
            if not await self._answer(request, connection, number):
                return

    async def _answer(self, request: Request, connection: Connection, number: int) -> bool:
        if request.path.startswith(control.PREFIX):
            return await control.answer(request, connection, self._desk)
        seen = see(request, number)
        self.requests.append(seen)
        return await exchange.answer(request, seen, connection, self._desk)


@contextlib.asynccontextmanager
async def _closing(connection: Connection) -> AsyncGenerator[Connection]:
    """A connection's end, however it comes, is not this server's failure."""
    try:
        yield connection
    except FramingError as error:
        text = str(error).encode()
        head = b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: %d\r\n\r\n"
        with contextlib.suppress(ClientGone):
            await connection.write(head % len(text) + text)
    except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
        pass
    finally:
        await connection.close()


def _checked(options: str | Options) -> Options:
    """Fails where the options are written, not at the request they are for."""
    parsed = parse(options) if isinstance(options, str) else options
    build(parsed)
    return parsed


async def _serve_for_ever(port: int, simulate: str, seed: int) -> None:
    async with SimulatedProvider(port=port, simulate=simulate, seed=seed) as provider:
        print(f"simulated provider on {provider.base_url}", flush=True)
        await asyncio.Event().wait()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m byline.testing.provider", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="port on 127.0.0.1; 0 picks a free one")
    parser.add_argument("--simulate", default="", help="options for every request, e.g. 'pace=10ms; gzip'")
    parser.add_argument("--seed", type=int, default=0, help="varies texts and token counts")
    arguments = parser.parse_args()
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_serve_for_ever(arguments.port, arguments.simulate, arguments.seed))


if __name__ == "__main__":
    main()
