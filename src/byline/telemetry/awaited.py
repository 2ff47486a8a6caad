"""What `log_event_async` returns: something to await that never waits, and that nobody has to await.

A real coroutine would warn when it is not awaited, and would not have logged by then. This one satisfies
`collections.abc.Coroutine`, so `await`, `asyncio.run`, `create_task`, trio and anyio take it.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, Final, NoReturn


class Done:
    __slots__ = ()

    def __await__(self) -> Generator[Any, None, None]:
        return
        yield

    def send(self, value: object) -> NoReturn:
        raise StopIteration

    def throw(self, error: BaseException, *_: object) -> NoReturn:
        raise error

    def close(self) -> None:
        """Nothing is under way."""


DONE: Final = Done()
